package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
)

// MaxSeat is the longest JSON of a Seat in bytes.
const MaxSeat = 4 << 10

// A Seat is what a player needs to begin a session at one server: an invite, the URL of its signaling,
// or both. A client with both uses the invite, and the URL where invites do not work: without WebRTC,
// and in a page without crypto.subtle. A Seat is as secret as its invite and its token. As JSON it is
// an object with the members invite, url, token and node.
type Seat struct {
	Invite *Invite `json:"invite,omitempty"`
	URL    string  `json:"url,omitempty"`   // of the server's signaling
	Token  string  `json:"token,omitempty"` // the credentials for URL; may be empty
	Node   string  `json:"node,omitempty"`  // names the server to who has made the seat; may be empty
}

// ParseSeat reads the JSON of a Seat, and ignores members that it does not know.
func ParseSeat(b []byte) (Seat, error) {
	var s Seat
	if len(b) > MaxSeat {
		return Seat{}, errors.New("auth: not a seat: it is longer than 4 KiB")
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return Seat{}, fmt.Errorf("auth: not a seat: %w", err)
	}
	return s, s.validate()
}

// JSON returns the JSON of the seat. The error says what is wrong with the seat.
func (s *Seat) JSON() ([]byte, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(s)
	if err == nil && len(b) > MaxSeat {
		err = errors.New("auth: the JSON of a Seat is longer than 4 KiB")
	}
	return b, err
}

func (s *Seat) validate() error {
	if s.URL == "" {
		if s.Invite == nil {
			return errors.New("auth: a Seat needs an Invite or a URL")
		}
		return nil
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("auth: the URL of a Seat must begin with http:// or https:// and have a host")
	}
	return nil
}
