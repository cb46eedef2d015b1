package dashboard

import (
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// Each figure of a session is the one that its name says.
func TestFiguresOfASession(t *testing.T) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		srv := testkit.Must(godwit.Serve(testkit.Listen(t, network, netip.MustParseAddrPort("192.0.2.1:7777")), godwit.Config{
			Channels: table, Authorize: func(*http.Request) (godwit.Identity, error) { return godwit.Identity{Name: "ada"}, nil },
		}))
		defer srv.Close()
		page := netip.MustParseAddrPort("198.51.100.7:5000")
		ends := testkit.Must(client.Serve(testkit.Listen(t, network, page), client.Config{HTTP: &http.Client{Transport: testkit.Transport{Handler: srv}}}))
		defer ends.Close()
		testkit.Must(ends.Join(t.Context(), "http://game.example/godwit/", client.SessionConfig{Channels: table}))
		synctest.Wait()
		c := slices.Collect(srv.Conns())[0]
		var st session.Stats
		testkit.Fill(&st)
		got := *chosenOf(c, st)
		want := chosen{
			row: row{
				ID: c.ID().String(), Identity: "ada", Link: session.LinkWebRTC, Age: st.Age.Seconds(), RTT: ms(st.RTT), MinRTT: ms(st.MinRTT),
				LossOut: st.LossOut, LossIn: st.LossIn, BytesIn: st.BytesIn, BytesOut: st.BytesOut, Queued: st.Queued, Heard: st.LastHeard.Seconds(), Away: true,
			},
			Kind: "native", Addr: page.String(), RTTVar: ms(st.RTTVar), Rate: st.Rate, Packet: st.PacketLimit, InFlight: st.InFlight, Held: st.Held,
			Asking: st.Asking, Asked: st.Asked,
		}
		if !slices.Equal(got.Causes, causesOfConn(st)) || len(got.Causes) == 0 || len(got.Channels) != len(table) {
			t.Errorf("the causes are %v and the channels %v, want those of the session", got.Causes, got.Channels)
		}
		want.Causes, want.Channels = got.Causes, got.Channels
		if !reflect.DeepEqual(got, want) || len(testkit.Unset(want)) > 0 {
			t.Errorf("%+v, want %+v, and no field that the test does not know: %v", got, want, testkit.Unset(want))
		}

		var cs channel.ChannelStats
		testkit.Fill(&cs)
		line := channelLine{
			Name: "chat", Mode: godwit.ReliableOrdered.String(), MessagesIn: cs.MessagesIn, MessagesOut: cs.MessagesOut, BytesIn: cs.BytesIn, BytesOut: cs.BytesOut,
			Again: cs.Retransmits, Dropped: cs.Expired + cs.Overflowed + cs.Replaced, Refused: cs.OverBudget, Stale: cs.Stale,
			Queued: cs.QueueBytes, QueueTime: ms(cs.QueueTime),
		}
		if got := channelLineOf(table[chat-1], cs); got != line || len(testkit.Unset(line)) > 0 {
			t.Errorf("the channel is %+v, want %+v, and no field that the test does not know: %v", got, line, testkit.Unset(line))
		}
	})
}

// Each figure of the server is the one that its name says, and the time is that of the answer.
func TestFiguresOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if f := ask(t, newServer(t), ""); f.At != time.Now().UnixMilli() {
			t.Errorf("the time is %d, want %d", f.At, time.Now().UnixMilli())
		}
	})
	var st godwit.Stats
	var all godwit.Totals
	testkit.Fill(&st)
	testkit.Fill(&all)
	st.Closed = map[session.CloseCode]uint64{session.CloseKicked: 7}
	all.Channels = append(all.Channels, all.Channels[0], all.Channels[0])
	wire := all.Channels[0].ChannelStats
	want := server{
		Open: st.Open, Pending: st.Pending, Begun: st.Begun, PacketsIn: all.PacketsIn, PacketsOut: all.PacketsOut, BytesIn: all.BytesIn, BytesOut: all.BytesOut,
		GoodIn: 2 * wire.WireIn, GoodOut: 2 * wire.WireOut, Causes: causesOf(st, all), Ends: []count{{"kicked", 7}},
	}
	if got := serverOf(st, all); !reflect.DeepEqual(got, want) || len(testkit.Unset(want)) > 0 {
		t.Errorf("the server is %+v, want %+v, and no field that the test does not know: %v", got, want, testkit.Unset(want))
	}
}

// A number that no channel has is not in the list of channels: the first of two channels was closed.
func TestChannelsThatWereClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t)
		join(t, srv, "ada")
		synctest.Wait()
		c := find(srv, "ada")
		first := testkit.Must(c.OpenChannel(godwit.Channel{Name: "first", Mode: godwit.Unreliable}))
		testkit.Must(c.OpenChannel(godwit.Channel{Name: "second", Mode: godwit.Unreliable}))
		time.Sleep(time.Second)
		if err := c.CloseChannel(first); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		var got []string
		for _, l := range ask(t, srv, "session="+c.ID().String()).Chosen.Channels {
			got = append(got, l.Name)
		}
		if want := []string{"move", "chat", "second"}; !slices.Equal(got, want) {
			t.Errorf("the channels are %q, want %q", got, want)
		}
	})
}
