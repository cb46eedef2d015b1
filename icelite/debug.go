package icelite

import "strconv"

// String returns the name of d, for a counter.
func (d Drop) String() string {
	names := [NumDrops]string{
		DropNone:          "none",
		DropMalformed:     "malformed",
		DropNotRequest:    "not a request",
		DropNoFingerprint: "no fingerprint",
		DropNoIntegrity:   "no integrity",
		DropNoUsername:    "no username",
	}
	if d >= NumDrops {
		return "Drop(" + strconv.Itoa(int(d)) + ")"
	}
	return names[d]
}

// String returns the name of v, for a counter.
func (v Verdict) String() string {
	names := [NumVerdicts]string{
		WrongUsername:    "wrong username",
		WrongIntegrity:   "wrong integrity",
		TooShort:         "too short",
		UnknownAttribute: "unknown attribute",
		RoleConflict:     "role conflict",
		Checked:          "checked",
		Moved:            "moved",
	}
	if v >= NumVerdicts {
		return "Verdict(" + strconv.Itoa(int(v)) + ")"
	}
	return names[v]
}
