package rtcserver

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/internal/enum"
	"github.com/godwit-rtc/godwit/sdp"
)

// A Role says which end is the DTLS client if the offer of a page leaves the choice, as those of
// browsers do (a=setup:actpass).
// https://www.rfc-editor.org/rfc/rfc8842.html#section-5.3
type Role uint8

const (
	// RoleAuto means that the server is the client (a=setup:active), so that a page opens a round
	// trip earlier. If the page sends a ClientHello itself, before it has answered that of the
	// server, the server becomes the DTLS server: at once for this connection, and for ten minutes
	// for all offers of the page's address (of IPv6, of the /64). Stats.RolesYielded counts
	// these connections.
	RoleAuto Role = iota
	// RoleClient means that the server is always the client, and drops a ClientHello.
	RoleClient
	// RoleServer means that the server is always the DTLS server (a=setup:passive): for pages that
	// can only be the client, and fail when they get a ClientHello.
	RoleServer
)

var roleNames = [...]string{"auto", "client", "server"}

// String returns the role in one word.
func (r Role) String() string { return enum.Name(r, roleNames[:]) }

// How long the server remembers that the pages of a site can only be DTLS clients, and how many
// sites it remembers. If there are more, it forgets none before its time is over, and remembers no
// further one.
const (
	passiveLasts = 10 * time.Minute
	maxPassive   = 1024
)

// checkRole returns an error if Config.Role is none of the constants.
func checkRole(r Role) error {
	if int(r) >= len(roleNames) {
		return fmt.Errorf("rtcserver: Config.Role is %d, but must be RoleAuto, RoleClient or RoleServer", r)
	}
	return nil
}

// setup returns the a=setup of the answer to an offer from a site. chosen says that this end is the
// DTLS client, and that the offer left the choice.
func (s *Server) setup(offer sdp.Setup, site netip.Addr) (answer sdp.Setup, chosen bool) {
	preferred := sdp.SetupActive
	if s.config.Role == RoleServer || s.registry.isPassive(time.Now(), site) {
		preferred = sdp.SetupPassive
	}
	answer = offer.Answer(preferred)
	return answer, offer == sdp.SetupActpass && answer == sdp.SetupActive
}

// yieldRole makes this end the DTLS server of c, whose page has sent a ClientHello, if the offer left the
// choice and Config.Role is RoleAuto. It returns true if c has a new handshake, for which the ClientHello
// is. The limits for addresses that are not proved stay what they are, and so does the place of the
// handshake: a forged ClientHello draws no more than one of a page whose offer says a=setup:active.
func (s *shard) yieldRole(now time.Time, c *Conn) bool {
	if !c.chosen || s.server.config.Role != RoleAuto || c.handshake == nil {
		return false
	}
	c.chosen, c.active = false, false
	began := c.handshake.began
	c.handshake.Stop()
	c.peer.Yield()
	s.startHandshake(c, &handshake{began: began, last: now, ours: true})
	s.stats.rolesYielded++
	s.server.registry.notePassive(now, c.site)
	if s.server.rolesWarning.due(now) {
		s.log(slog.LevelWarn, "rtcserver: a page sent a ClientHello though this server is the DTLS client: the server is the DTLS server now, for ten minutes also in further answers to the page's address; a page that can only be the client should offer a=setup:active",
			"conn", c.id, "remote", clientAddr(c.peer.Remote()))
	}
	return true
}

// notePassive notes that pages of a site can only be DTLS clients.
func (r *registry) notePassive(now time.Time, site netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.passive) >= maxPassive {
		for a, until := range r.passive {
			if !now.Before(until) {
				delete(r.passive, a)
			}
		}
	}
	if _, known := r.passive[site]; site.IsValid() && (known || len(r.passive) < maxPassive) {
		r.passive[site] = now.Add(passiveLasts)
	}
}

// isPassive reports whether pages of a site can only be DTLS clients, as far as is known: only a
// server with RoleAuto knows any.
func (r *registry) isPassive(now time.Time, site netip.Addr) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return now.Before(r.passive[site])
}
