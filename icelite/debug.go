package icelite

import "strconv"

// String returns the name of d, for a counter.
func (d Drop) String() string {
	names := [drops]string{
		DropNone:          "none",
		dropMalformed:     "malformed",
		dropNotRequest:    "not a request",
		dropNoFingerprint: "no fingerprint",
		dropNoIntegrity:   "no integrity",
		dropNoUsername:    "no username",
	}
	if d >= drops {
		return "Drop(" + strconv.Itoa(int(d)) + ")"
	}
	return names[d]
}

// String returns the name of v, for a counter.
func (v Verdict) String() string {
	names := [verdicts]string{
		verdictWrongUsername:    "wrong username",
		verdictWrongIntegrity:   "wrong integrity",
		verdictTooShort:         "too short",
		verdictUnknownAttribute: "unknown attribute",
		verdictRoleConflict:     "role conflict",
		verdictChecked:          "checked",
		verdictMoved:            "moved",
	}
	if v >= verdicts {
		return "Verdict(" + strconv.Itoa(int(v)) + ")"
	}
	return names[v]
}
