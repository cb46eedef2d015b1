package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
)

func (p *peer) makeSession(name byte, b []byte) error {
	table, err := channel.ParseTable(string(b[1:]))
	if err != nil {
		return err
	}
	s, err := sessioncore.New(start, sessioncore.Config{
		Channel:        channel.Config{Channels: table.Channels, Server: true, Ceiling: 1 << 20},
		ClientChannels: int(b[0]),
	})
	p.sessions[name] = s
	return err
}

// ask gives a session a request and returns the answer.
func ask(s *sessioncore.Session, kind byte, b []byte) ([]byte, error) {
	if kind == requestWait {
		return binary.BigEndian.AppendUint64(nil, math.Float64bits(millis(s.Deadline()))), nil
	}
	var now time.Time
	now, b = at(b), b[8:]
	switch kind {
	case requestReceive:
		s.Receive(now, b)
	case requestAppend:
		return s.Append(now, nil, int(binary.BigEndian.Uint32(b))), nil
	case requestSend:
		_, err := s.Send(now, channel.ID(b[0]), b[1:], channel.Options{})
		return []byte{refused(err)}, nil
	case requestAdvance:
		s.Advance(now)
	case requestRelink:
		s.Link(now, sessioncore.LinkInfo{RTT: 50 * time.Millisecond, Token: sessioncore.Token{1}})
	case requestOpen:
		line := string(b)
		number, _, _ := strings.Cut(line, " ")
		n := channel.ID(0)
		if _, err := fmt.Sscan(number, &n); err != nil {
			return nil, err
		}
		c, ok := channel.ParseChannel(line, n)
		if !ok {
			return nil, fmt.Errorf("not a line of a table: %s", line)
		}
		id, _ := s.OpenChannel(now, c)
		return []byte{byte(id)}, nil
	case requestShut:
		return []byte{refused(s.CloseChannel(now, channel.ID(b[0])))}, nil
	case requestCollected:
	default:
		return nil, fmt.Errorf("no request %d of a session", kind)
	}
	return collected(s), nil
}

// collected is what a session tells since it was last asked.
func collected(s *sessioncore.Session) (b []byte) {
	table := s.Mux().Channels()
	evs := s.Events(nil)
	for _, ev := range evs {
		data := ev.Data
		switch ev.Type {
		case sessioncore.EventMessage:
			b = append(b, eventMessage, byte(ev.Channel))
		case sessioncore.EventChannel:
			b, data = append(b, eventOpened, byte(ev.Channel)), []byte(table[ev.Channel-1].Name)
		case sessioncore.EventChannelClosed:
			b = append(b, eventShut, byte(ev.Channel))
			s.ChannelDelivered(ev.Channel)
		case sessioncore.EventClosed:
			b, data = binary.BigEndian.AppendUint32(append(b, eventClosed), uint32(ev.Reason.Code)), []byte(ev.Reason.Text)
		default:
			continue
		}
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(data))), data...)
	}
	s.Release(evs)
	return b
}
