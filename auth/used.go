package auth

import (
	"container/heap"
	"crypto/sha256"
	"crypto/subtle"
	"time"
)

// Used remembers the used tokens and invites until they expire, so that each can be used only once.
// The zero value remembers up to 65,536 of them. Used is not safe for concurrent use.
type Used struct {
	// Max is the largest number of tokens and invites that Used remembers. Zero means 65,536. If there
	// are Max tokens and none has expired, Spend returns ErrBusy: to forget a token would
	// allow a second use of it.
	Max int

	ids    map[[16]byte]struct{}
	oldest expiries
}

// Spend marks a token as used until it expires. The error is ErrReplayed, ErrExpired or
// ErrBusy. Call Spend last: a token that is refused for another reason must not be spent.
func (u *Used) Spend(now time.Time, c Claims) error {
	sum := sha256.Sum256([]byte(c.key + "\x00" + c.ID))
	return u.spend(now, [16]byte(sum[:16]), c.Until())
}

// SpendInvite is Spend for an invite that expires at until.
func (u *Used) SpendInvite(now time.Time, id InviteID, until time.Time) error {
	return u.spend(now, inviteMark(id), until)
}

// InviteSpent reports whether an invite that has not expired is marked as used. It allocates
// nothing.
func (u *Used) InviteSpent(id InviteID) bool {
	_, ok := u.ids[inviteMark(id)]
	return ok
}

// inviteMark returns the key of an invite among those of tokens, which are hashes.
func inviteMark(id InviteID) (m [16]byte) {
	copy(m[:], "invite: ")
	copy(m[8:], id[:])
	return m
}

func (u *Used) spend(now time.Time, id [16]byte, until time.Time) error {
	for len(u.oldest) > 0 && u.oldest[0].at.Before(now) {
		delete(u.ids, u.oldest[0].id)
		heap.Pop(&u.oldest)
	}
	if until.Before(now) {
		return ErrExpired // it has expired since Verify, so its use may be forgotten already
	}
	if _, ok := u.ids[id]; ok {
		return ErrReplayed
	}
	limit := u.Max
	if limit == 0 {
		limit = 65_536
	}
	if len(u.ids) >= limit {
		return ErrBusy
	}
	if u.ids == nil {
		u.ids = make(map[[16]byte]struct{})
	}
	u.ids[id] = struct{}{}
	heap.Push(&u.oldest, expiry{until, id})
	return nil
}

// Len returns the number of tokens and invites that Used remembers.
func (u *Used) Len() int { return len(u.ids) }

type expiry struct {
	at time.Time
	id [16]byte
}

// expiries is a heap, the first to expire on top.
type expiries []expiry

func (h expiries) Len() int           { return len(h) }
func (h expiries) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h expiries) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *expiries) Push(x any)        { *h = append(*h, x.(expiry)) }
func (h *expiries) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// Same reports whether a secret that a client has sent is the right one. Its running time
// does not depend on how much of the secret is right, or on the length of the right one.
func Same(shown, secret string) bool {
	a, b := sha256.Sum256([]byte(shown)), sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
