package fleet

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// seatFor is how long a seat is good.
const seatFor = time.Minute

var errDraining = errors.New("fleet: the node is draining")

// A seatRequest asks a node for a seat.
type seatRequest struct {
	Name string `json:"name,omitempty"`
	Data []byte `json:"data,omitempty"`
	Ends int64  `json:"ends,omitempty"` // when the session ends, in Unix seconds; 0 means never
	Room string `json:"room,omitempty"` // that the node is to claim first
	Move bool   `json:"move,omitempty"` // the player comes from another node, which sends a state
}

func init() { handlers[kindSeat] = (*Fleet).receiveSeat }

// nodeSubject returns the subject of another node for questions of this file and its neighbours.
func (f *Fleet) nodeSubject(id string) string { return f.config.Prefix + ".n." + id + ".q" }

// Seat returns a seat at a node, which Pick, Find or Nodes has returned, for a player with this identity. A seat with an
// invite needs a Name of at most 64 bytes of UTF-8, Data of at most 48, and no Expires, for which an invite has no room. The node makes the seat: an invite if its server has a
// UDP port and godwit.Config.Invites or KeyFile, its Config.URL, and a token if Config.Seats is set. A seat is good for a minute. Seat
// waits for the node, or until ctx is done; in a handler it returns session.ErrInHandler.
func (f *Fleet) Seat(ctx context.Context, node string, id godwit.Identity) (auth.Seat, error) {
	if handling.Now() {
		return auth.Seat{}, session.ErrInHandler
	}
	return f.seat(ctx, node, requestFor(id.Name, id.Data, id.Expires))
}

// requestFor returns what asks for a seat for a player whose session ends at ends; zero means never.
func requestFor(name string, data []byte, ends time.Time) seatRequest {
	r := seatRequest{Name: name, Data: data}
	if !ends.IsZero() {
		r.Ends = ends.Unix()
	}
	return r
}

func (f *Fleet) seat(ctx context.Context, node string, r seatRequest) (auth.Seat, error) {
	if !utf8.ValidString(r.Name) || !utf8.ValidString(r.Room) { // JSON would make another name of it
		return auth.Seat{}, errors.New("fleet: a seat needs names of a player and of a room in UTF-8")
	}
	if node == f.me.String() {
		return f.makeSeat(r)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return auth.Seat{}, err
	}
	b, err := f.inquire(ctx, f.nodeSubject(node), kindSeat, body)
	if err != nil {
		return auth.Seat{}, err
	}
	return auth.ParseSeat(b)
}

// receiveSeat handles kindSeat.
func (f *Fleet) receiveSeat(m message) bool {
	var r seatRequest
	if json.Unmarshal(m.body, &r) != nil {
		return false
	}
	if r.Room == "" {
		f.answerSeat(m.reply, r)
	} else {
		f.running.Go(func() { f.answerSeat(m.reply, r) }) // to claim a room takes time
	}
	return true
}

func (f *Fleet) answerSeat(to string, r seatRequest) {
	seat, err := f.makeSeat(r)
	var b []byte
	if err == nil {
		b, err = seat.JSON()
	}
	if err != nil {
		f.answer(to, answerRejected, []byte(err.Error()))
		return
	}
	f.answer(to, answerReplied, b)
}

// makeSeat makes a seat at this node.
func (f *Fleet) makeSeat(r seatRequest) (auth.Seat, error) {
	srv := f.server.Load()
	f.mu.Lock()
	draining := f.self().Draining
	f.mu.Unlock()
	switch {
	case srv == nil:
		return auth.Seat{}, errors.New("fleet: the node has no server")
	case draining:
		return auth.Seat{}, errDraining
	}
	if r.Room != "" {
		if err := f.adopt(r.Room); err != nil {
			return auth.Seat{}, err
		}
	}
	seat := auth.Seat{URL: f.config.URL, Node: f.me.String()}
	if f.invites && srv.RTC() != nil && r.Ends == 0 && len(r.Name) <= auth.MaxInviteSubject && len(r.Data) <= auth.MaxInviteData {
		i, err := srv.Invite(auth.InviteClaims{Subject: r.Name, Data: r.Data, For: seatFor})
		if err != nil {
			return auth.Seat{}, err
		}
		seat.Invite = &i
	}
	if seat.URL != "" && f.config.Seats {
		var err error
		if seat.Token, err = f.seatToken(r); err != nil {
			return auth.Seat{}, err
		}
	}
	if seat.Invite == nil && seat.URL == "" {
		return auth.Seat{}, errors.New("fleet: the node has no URL and makes no invites for this player: set Config.URL, or godwit.Config.Invites")
	}
	if r.Move {
		if err := f.expect(r.Name); err != nil {
			return auth.Seat{}, err
		}
	}
	return seat, nil
}

// seatData is the data of a token of a seat.
type seatData struct {
	Name string `json:"n,omitempty"`
	Data []byte `json:"d,omitempty"`
	Ends int64  `json:"e,omitempty"`
}

func (f *Fleet) seatToken(r seatRequest) (string, error) {
	data, err := json.Marshal(seatData{r.Name, r.Data, r.Ends})
	if err != nil {
		return "", err
	}
	now := time.Now()
	return f.signer.Sign(now, auth.Claims{
		Subject: "seat", Audience: f.me.String(), ID: rand.Text(), Expires: now.Add(seatFor), Data: data,
	})
}

// prepareSeats makes c take the seats of this node.
func (f *Fleet) prepareSeats(c *godwit.Config) error {
	if f.config.Seats {
		if c.Authorize != nil || c.Secret != "" || c.Tokens != nil {
			return errors.New("fleet: with Config.Seats the fleet makes the tokens: do not set Authorize, Secret or Tokens of godwit.Config")
		}
		var err error
		if f.signer, err = auth.Generate(auth.EdDSA, rand.Reader); err != nil {
			return fmt.Errorf("fleet: %w", err)
		}
		v := &auth.Verifier{Keys: []auth.Key{f.signer.Key()}, Audience: f.me.String()}
		f.authorize = func(r *http.Request) (godwit.Identity, error) { return f.seated(r, v) }
		c.Authorize = f.authorize
		if c.Invites == nil && c.KeyFile == "" && !c.NoDirect {
			if c.Invites, err = auth.NewInviteKey(rand.Reader); err != nil {
				return fmt.Errorf("fleet: %w", err)
			}
		}
	}
	f.invites = (c.Invites != nil || c.KeyFile != "") && !c.NoDirect
	return nil
}

// seated is godwit.Config.Authorize with Config.Seats.
func (f *Fleet) seated(r *http.Request, v *auth.Verifier) (godwit.Identity, error) {
	claims, err := v.Verify(time.Now(), godwit.Token(r))
	if err != nil {
		return godwit.Identity{}, err
	}
	var d seatData
	if err := json.Unmarshal(claims.Data, &d); err != nil {
		return godwit.Identity{}, auth.ErrWrong
	}
	if err := f.spend(r.Context(), "seat-"+claims.ID, claims.Until()); err != nil {
		return godwit.Identity{}, err
	}
	id := godwit.Identity{Name: d.Name, Data: d.Data}
	if d.Ends != 0 {
		id.Expires = time.Unix(d.Ends, 0)
	}
	return id, nil
}

// A Joining is what a front needs to know of a player.
type Joining struct {
	Identity godwit.Identity // see Fleet.Seat
	Room     string          // the room to which the player wants to go; empty means any node
	Filter   func(Node) bool // which nodes fit, as that of Pick; nil means all
}

// Front returns the front of the fleet, for players. A POST is answered with the JSON of an auth.Seat: at the node of
// Joining.Room or, if no node has that room, at one that claims it; without a room, at the node that Pick chooses. who says who makes
// the request; an error is answered as that of godwit.Config.Authorize. who may read a body of at most 64 KiB,
// which has ten seconds to arrive. If who is nil every player may join, without a name. A GET with the
// parameter node, the Node of a seat, is answered with 204 if the node is there, with 410 if it is gone for good, and
// with 503 if the front does not know: it has just come, or NATS does not answer within two seconds. Stats.FrontUnsure counts these answers. Each node may have a front. client.Front is the client's side.
//
// pages says which requests are let in, as godwit.Config.RTC does for the signaling, and is usually the same: see rtcserver.Guard.
// Each request counts towards MaxOffers of its address, because each seat counts as taken for a moment. So behind a proxy
// TrustedProxies must name it. Pages of other origins need Origins. Stats.FrontRefused counts the others. The error says which
// field of pages is wrong.
func (f *Fleet) Front(who func(*http.Request) (Joining, error), pages rtcserver.Settings) (http.Handler, error) {
	front := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		switch r.Method {
		case http.MethodPost:
			f.serveJoin(w, r, who)
		case http.MethodGet, http.MethodHead:
			f.serveGone(w, r)
		default:
			w.Header().Set("Allow", "GET, HEAD, OPTIONS, POST")
			refuse(w, http.StatusMethodNotAllowed, "request", "use POST to join, or GET with the parameter node")
		}
	}
	c := rtcserver.Config{Settings: pages, Logger: f.config.Logger}
	return rtcserver.Guard(c, http.HandlerFunc(front), func(*rtcserver.StatusError) { f.count(&f.counts.FrontRefused) })
}

// serveGone answers whether a node is there. That a node is gone needs a proof that this front has heard what the others have said
// until now: see checkGone. Many requests share a proof.
func (f *Fleet) serveGone(w http.ResponseWriter, r *http.Request) {
	node := r.URL.Query().Get("node")
	if len(node) != len(f.me.String()) {
		refuse(w, http.StatusBadRequest, "request", "the parameter node is not that of a seat")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), goneTime)
	defer cancel()
	switch gone, sure := f.frontGone(ctx, node); {
	case !gone:
		w.WriteHeader(http.StatusNoContent)
	case sure:
		refuse(w, http.StatusGone, "gone", "the node is gone")
	default:
		f.count(&f.counts.FrontUnsure)
		refuse(w, http.StatusServiceUnavailable, "away", "this front does not know yet")
	}
}

// frontGone is checkGone for a request to a front. Strangers can have maxAwaiting of them wait; the calls of this node do not depend on them.
func (f *Fleet) frontGone(ctx context.Context, node string) (gone, sure bool) {
	f.mu.Lock()
	full := f.nodes.waiting >= maxAwaiting
	f.mu.Unlock()
	if full {
		_, there := f.node(node)
		return !there, there
	}
	return f.checkGone(ctx, node, time.Now())
}

// goneTime is how long a front waits for NATS before it answers that it does not know whether a node is gone.
const goneTime = 2 * time.Second

// Limits of the body of a request to join, for programs that read it.
const (
	maxBody  = 64 << 10
	bodyTime = 10 * time.Second
)

// joinTries is how many nodes a front asks for a seat.
const joinTries = 4

func (f *Fleet) serveJoin(w http.ResponseWriter, r *http.Request, who func(*http.Request) (Joining, error)) {
	var j Joining
	if who != nil {
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		var err error
		if j, err = who(r); err != nil {
			refuseError(w, err)
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*bucketTime)
	defer cancel()
	seat, err := f.join(ctx, j)
	var b []byte
	if err == nil {
		b, err = seat.JSON()
	}
	if err != nil {
		f.config.Logger.Debug("fleet: no seat", "node", f.config.Name, "player", j.Identity.Name, "why", err)
		refuse(w, http.StatusServiceUnavailable, "full", "there is no seat now: try again")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(b)
}

// join finds a seat for a player.
func (f *Fleet) join(ctx context.Context, j Joining) (seat auth.Seat, err error) {
	tried := make(map[string]bool)
	for range joinTries {
		r := requestFor(j.Identity.Name, j.Identity.Data, j.Identity.Expires)
		var n Node
		if j.Room != "" {
			n, err = f.Find(ctx, j.Room)
		}
		if j.Room == "" || errors.Is(err, ErrNoRoom) {
			n, err = f.Pick(func(n Node) bool {
				return !tried[n.ID] && (j.Room == "" || n.Adopts) && (j.Filter == nil || j.Filter(n))
			})
			r.Room = j.Room
		}
		if err != nil {
			return auth.Seat{}, err
		}
		if seat, err = f.seat(ctx, n.ID, r); err == nil || ctx.Err() != nil {
			return seat, err
		}
		tried[n.ID] = true // it may have died, begun to drain, or lost a race for the room
	}
	return auth.Seat{}, err
}

func refuse(w http.ResponseWriter, status int, code, text string) {
	rtcserver.Refuse(w, &rtcserver.StatusError{Status: status, Code: code, Text: text})
}

// refuseError answers with the error of a program's func.
func refuseError(w http.ResponseWriter, err error) {
	if token, ok := errors.AsType[*auth.Error](err); ok {
		refuse(w, http.StatusUnauthorized, "token", token.Text())
		return
	}
	rtcserver.Refuse(w, err)
}
