package godwit

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/deflate"
)

// compressing is a table whose chat has Compress.
func compressing(c *Config) {
	c.Channels = append(Channels{}, table...)
	c.Channels[chat-1].Compress = true
}

// packings returns how often messages have been packed. It takes all states to count.
func packings() (n uint64) {
	var all []*deflate.Packer
	for range deflate.States() {
		all = append(all, deflate.TakePacker())
	}
	for _, p := range all {
		n += p.Calls
		p.Return()
	}
	return n
}

var words = []byte(strings.Repeat("the same words, ", 100)) // 1,600 bytes

// A message is small on the wire in both directions, and arrives as it was.
func TestCompressBothWays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, events := newTestServer(t, compressing)
		client, server, d := join(t, srv, "red")
		d.Take()
		events.Take()
		must(t, client.Send(chat, words))
		must(t, server.Send(chat, words))
		_, err := server.SendNamed("chat", words, Options{})
		must(t, err)
		settle()
		events.want(t, "chat: "+string(words))
		d.want(t, "chat: "+string(words), "chat: "+string(words))
		for who, c := range map[string]*Conn{"client": client, "server": server} {
			st := c.ChannelStats(chat)
			if n := uint64(len(words)); st.BytesOut%n != 0 || st.BytesIn%n != 0 || st.WireOut > 200 || st.WireIn > 200 || st.WireOut == 0 || st.WireIn == 0 {
				t.Errorf("%s: %d bytes left as %d, and %d came as %d", who, st.BytesOut, st.WireOut, st.BytesIn, st.WireIn)
			}
		}
		if all := srv.Totals().Channels[chat]; all.WireOut != server.ChannelStats(chat).WireOut || all.WireIn != server.ChannelStats(chat).WireIn {
			t.Errorf("the totals are %+v", all)
		}
	})
}

// A message to many sessions is packed once, whoever gets it: on a channel of the table, or on
// those that have a name in each session, with Compress in some of them.
func TestABroadcastIsPackedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, compressing)
		group := srv.NewGroup()
		var recorders []*recorder
		for i := range 5 {
			_, server, d := join(t, srv, fmt.Sprint(i))
			_, err := server.OpenChannel(Channel{Name: "history", Mode: ReliableOrdered, Compress: i > 1})
			must(t, err)
			group.Join(server)
			recorders = append(recorders, d)
		}
		time.Sleep(time.Second)
		for _, d := range recorders {
			d.Take()
		}
		for _, c := range []struct {
			name string
			want uint64
			send func() error
		}{
			{"broadcast", 1, func() error { return srv.Broadcast(chat, words) }},
			{"group", 1, func() error { return group.Send(chat, words) }},
			{"by name", 1, func() error { _, err := srv.BroadcastNamed(nil, "history", words); return err }},
			{"short", 0, func() error { return srv.Broadcast(chat, words[:511]) }},
			{"without Compress", 0, func() error { return srv.Broadcast(loot, words) }},
		} {
			before := packings()
			must(t, c.send())
			time.Sleep(time.Second)
			if n := packings() - before; n != c.want {
				t.Errorf("%s: the message is packed %d times, want %d", c.name, n, c.want)
			}
			for i, d := range recorders {
				if got := d.Take(); len(got) != 1 || !strings.HasSuffix(got[0], string(words[:511])) && !strings.HasSuffix(got[0], string(words)) {
					t.Errorf("%s: client %d gets %q", c.name, i, got)
				}
			}
		}
	})
}

// Messages that wait when the session is closed arrive before its end.
func TestCompressedMessagesArriveBeforeTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, compressing)
		_, server, d := join(t, srv, "red")
		d.Take()
		large := bytes.Repeat(words, 100)
		for range 5 {
			must(t, server.Send(chat, large))
		}
		server.Close(300, "the end")
		time.Sleep(10 * time.Second)
		want := []string{}
		for range 5 {
			want = append(want, "chat: "+string(large))
		}
		if got := d.Take(); len(got) != 6 || strings.Join(got[:5], "") != strings.Join(want, "") {
			t.Errorf("%d events, want five messages and the end", len(got))
		}
	})
}
