package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/internal/ufrag"
)

// Limits of an invite.
const (
	MaxInviteSubject   = ufrag.MaxSubject // bytes of InviteClaims.Subject
	MaxInviteData      = ufrag.MaxData    // bytes of InviteClaims.Data
	MaxInviteAddresses = 8
)

// maxInviteText is the longest text of an invite in bytes.
const maxInviteText = 4 << 10

// InviteID is the random number of an invite, by which a server knows that it was used.
type InviteID [ufrag.IDLen]byte

// pemInvite is the name of the PEM block of an invite key.
const pemInvite = "GODWIT INVITE KEY"

var errInviteKey = errors.New("auth: not an invite key: it is a PEM block " + pemInvite + ", or 32 bytes as 43 characters of base64url")

// An InviteKey makes the invites that a server with the same key accepts. Anyone who has it can
// let in players under any name, as long as the server has the key, so keep it as secret as a
// Signer.
type InviteKey struct{ key ufrag.Key }

// NewInviteKey makes a new key. random must be a secure source of random bytes.
func NewInviteKey(random io.Reader) (*InviteKey, error) {
	k := new(InviteKey)
	if _, err := io.ReadFull(random, k.key[:]); err != nil {
		return nil, err
	}
	return k, nil
}

// ParseInviteKey reads a key as PEM or Text write it. If there are several PEM blocks it ignores
// those that are not an invite key.
func ParseInviteKey(text []byte) (*InviteKey, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(bytes.TrimSpace(text)))
	if err != nil {
		b = nil
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if block.Type == pemInvite {
				b = block.Bytes
			}
		}
	}
	k := new(InviteKey)
	if len(b) != len(k.key) {
		return nil, errInviteKey
	}
	copy(k.key[:], b)
	return k, nil
}

// PEM returns the key as a PEM block. Keep it secret.
func (k *InviteKey) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemInvite, Bytes: k.key[:]})
}

// Text returns the key as 43 characters of base64url, for programs in other languages. Keep it
// secret.
func (k *InviteKey) Text() string { return base64.RawURLEncoding.EncodeToString(k.key[:]) }

// Bytes returns a copy of the 32 bytes of the key. Keep it secret.
func (k *InviteKey) Bytes() [32]byte { return k.key }

// String does not show the key.
func (k *InviteKey) String() string { return "auth.InviteKey" }

// An Invite is all that a client needs to connect to a server without asking anyone: docs/SESSION.md,
// section 11. It is good once, and as secret as a token. MarshalJSON and Text write it, UnmarshalJSON
// and ParseInvite read it.
type Invite struct {
	Addresses   []netip.AddrPort // of the server, the best one first; 1 to MaxInviteAddresses
	Fingerprint [32]byte         // SHA-256 hash of the server's DTLS certificate
	Ufrag, Pwd  string           // ICE credentials
	Channels    string           // hash of the server's table of channels, 16 hexadecimal digits; may be empty
}

// inviteVersion is the version of the form of an invite.
const inviteVersion = 1

// inviteJSON is an Invite as JSON.
type inviteJSON struct {
	V           int              `json:"v"`
	Addresses   []netip.AddrPort `json:"addresses"`
	Fingerprint string           `json:"fingerprint"`
	Ufrag       string           `json:"ufrag"`
	Pwd         string           `json:"pwd"`
	Channels    string           `json:"channels,omitempty"`
}

// MarshalJSON returns the invite as a JSON object.
func (i Invite) MarshalJSON() ([]byte, error) {
	pairs := make([]string, len(i.Fingerprint))
	for n, b := range i.Fingerprint {
		pairs[n] = strings.ToUpper(hex.EncodeToString([]byte{b}))
	}
	return json.Marshal(inviteJSON{
		inviteVersion, i.Addresses, fingerprintName + strings.Join(pairs, ":"), i.Ufrag, i.Pwd, i.Channels,
	})
}

const fingerprintName = "sha-256 "

// UnmarshalJSON reads a JSON object, and ignores members that it does not know. The error says
// what is wrong, for example that the invite is of a later version.
func (i *Invite) UnmarshalJSON(b []byte) error {
	var j inviteJSON
	var v struct{ V int }
	if err := json.Unmarshal(b, &v); err == nil && v.V != inviteVersion {
		return fmt.Errorf("auth: this invite has the form %d, and this program knows only the form %d: update it", v.V, inviteVersion)
	}
	if err := json.Unmarshal(b, &j); err != nil {
		return errInvite("not JSON, or a member has another type")
	}
	sum, err := hex.DecodeString(strings.ReplaceAll(cutPrefixFold(j.Fingerprint, fingerprintName), ":", ""))
	channels, badChannels := hex.DecodeString(j.Channels)
	switch {
	case len(j.Addresses) == 0 || len(j.Addresses) > MaxInviteAddresses:
		return errInvite("it has no address, or more than 8")
	case err != nil || len(sum) != len(i.Fingerprint):
		return errInvite(`its fingerprint is not "sha-256 " and 32 bytes`)
	case len(j.Ufrag) < 4 || len(j.Ufrag) > 256 || !isICE(j.Ufrag) || len(j.Pwd) < 22 || len(j.Pwd) > 256 || !isICE(j.Pwd):
		return errInvite("its ufrag or pwd has a wrong length or characters")
	case j.Channels != "" && (badChannels != nil || len(channels) != 8):
		return errInvite("its channels are not the hash of a table: 16 hexadecimal digits")
	}
	for _, a := range j.Addresses {
		if a.Port() == 0 || a.Addr().Unmap().IsUnspecified() {
			return errInvite("nobody can send to its address " + a.String())
		}
	}
	*i = Invite{j.Addresses, [32]byte(sum), j.Ufrag, j.Pwd, strings.ToLower(j.Channels)}
	return nil
}

func errInvite(what string) error { return errors.New("auth: not an invite: " + what) }

// isICE reports whether s has only characters that ICE allows.
func isICE(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && r != '+' && r != '/'
	})
}

// cutPrefixFold returns s without a prefix in upper or lower case. It returns "" if s has none.
func cutPrefixFold(s, prefix string) string {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return ""
	}
	return s[len(prefix):]
}

// Text returns the invite for a URL, after "#": its JSON as base64url. A URL's path or query would be in
// logs.
func (i Invite) Text() string {
	b, _ := i.MarshalJSON() // its fields have no errors
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseInvite reads the JSON or the text of an invite.
func ParseInvite(text string) (Invite, error) {
	var i Invite
	b := []byte(strings.TrimSpace(text))
	if len(b) > maxInviteText {
		return i, errInvite("it is longer than 4 KiB")
	}
	if !isJSON(b) {
		var err error
		if b, err = base64.RawURLEncoding.DecodeString(string(b)); err != nil {
			return i, errInvite("neither JSON nor base64url")
		}
	}
	err := i.UnmarshalJSON(b)
	return i, err
}

// InviteClaims are what an invite says about the player.
type InviteClaims struct {
	Subject string        // godwit.Identity.Name; at most MaxInviteSubject bytes, and may be empty
	Data    []byte        // godwit.Identity.Data; at most MaxInviteData bytes
	For     time.Duration // how long the invite is good; at least a second
}

// An Inviter makes invites for one server. Its methods may be called from any goroutine.
type Inviter struct {
	Key         *InviteKey       // the key of the server; must be set
	Addresses   []netip.AddrPort // see Invite
	Fingerprint [32]byte         // see Invite
	Channels    string           // see Invite
	Node        uint32           // rtcserver.Settings.Node of the server; 0 to 1<<24 - 1
}

// Invite makes an invite with a random ID. random must be a secure source of random bytes. The
// server counts the time by its own clock: if the clock of the Inviter's machine is late, the invite
// is good for less than For.
func (v *Inviter) Invite(now time.Time, random io.Reader, c InviteClaims) (Invite, error) {
	f := ufrag.Fragment{Form: ufrag.Invite, Node: v.Node, Expires: now.Add(c.For).Unix(), Subject: []byte(c.Subject), Data: c.Data}
	switch {
	case v.Key == nil:
		return Invite{}, errors.New("auth: Inviter.Key is nil")
	case len(v.Addresses) == 0 || len(v.Addresses) > MaxInviteAddresses:
		return Invite{}, fmt.Errorf("auth: Inviter.Addresses has %d addresses, but must have 1 to %d", len(v.Addresses), MaxInviteAddresses)
	case v.Node > ufrag.MaxNode:
		return Invite{}, fmt.Errorf("auth: Inviter.Node is %d, but must be at most %d", v.Node, ufrag.MaxNode)
	case len(f.Subject) > MaxInviteSubject:
		return Invite{}, fmt.Errorf("auth: the subject has %d bytes, but may have at most %d", len(f.Subject), MaxInviteSubject)
	case len(f.Data) > MaxInviteData:
		return Invite{}, fmt.Errorf("auth: the data have %d bytes, but may have at most %d", len(f.Data), MaxInviteData)
	case c.For < time.Second || f.Expires > 1<<32-1:
		return Invite{}, fmt.Errorf("auth: InviteClaims.For is %v, but must be at least 1 s and end before 2106", c.For)
	}
	if _, err := io.ReadFull(random, f.ID[:]); err != nil {
		return Invite{}, err
	}
	text := f.Text(&v.Key.key)
	return Invite{v.Addresses, v.Fingerprint, text, v.Key.key.Pwd(text), v.Channels}, nil
}
