package auth

import (
	"container/heap"
	"crypto/sha256"
	"crypto/subtle"
	"time"
)

// Used remembers the tokens that were shown, so that each is good once. Its zero
// value remembers 65,536. It is not safe for concurrent use.
type Used struct {
	// Max is how many tokens are remembered. Zero means 65,536. When they are
	// that many and none of them has expired, further ones are refused: to
	// forget one would make it good again.
	Max int

	ids    map[[16]byte]struct{}
	oldest expiries
}

// Spend marks a token as used until it expires. The error is ErrReplayed, ErrExpired or
// ErrBusy. Call Spend last: a token that is refused for another reason must not be spent.
func (u *Used) Spend(now time.Time, c Claims) error {
	for len(u.oldest) > 0 && u.oldest[0].at.Before(now) {
		delete(u.ids, u.oldest[0].id)
		heap.Pop(&u.oldest)
	}
	if c.Until().Before(now) {
		return ErrExpired // since it was verified, and may be forgotten
	}
	sum := sha256.Sum256([]byte(c.key + "\x00" + c.ID))
	id := [16]byte(sum[:16])
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
	heap.Push(&u.oldest, expiry{c.Until(), id})
	return nil
}

// Len returns how many tokens are remembered.
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

// Same reports whether a secret that was shown is the right one, in a time that
// does not tell how much of it is right, nor how long it is.
func Same(shown, secret string) bool {
	a, b := sha256.Sum256([]byte(shown)), sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
