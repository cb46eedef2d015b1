package godwit

import "testing"

// With Manual messages do not leave by themselves: they leave at Flush, or at the end of the
// next Poll.
func TestFlushSendsWhatIsQueued(t *testing.T) {
	srv, _ := newTestServer(t, manual)
	client, err := srv.Local(LocalConfig{})
	must(t, err)
	events(srv, nil)
	var server *Conn
	for server = range srv.Conns() {
	}
	for _, c := range []*Conn{client, server} {
		before := c.Stats().PacketsOut
		must(t, c.Send(chat, []byte("now")))
		if n := c.Stats().PacketsOut - before; n != 0 {
			t.Errorf("%d packets are sent before Flush, want 0", n)
		}
		srv.Flush()
		if st, ch := c.Stats(), c.ChannelStats(chat); st.PacketsOut != before+1 || ch.MessagesOut != 1 || ch.Queued != 0 {
			t.Errorf("after Flush %d packets with %d messages are sent, want 1 and 1; %d bytes wait, want 0", st.PacketsOut-before, ch.MessagesOut, ch.Queued)
		}
	}
	before := server.Stats().PacketsOut
	must(t, srv.Broadcast(chat, []byte("to all")))
	if n := server.Stats().PacketsOut - before; n != 0 {
		t.Errorf("%d packets of a broadcast are sent before Flush, want 0", n)
	}
	srv.Flush()
	if n := server.Stats().PacketsOut - before; n != 1 {
		t.Errorf("%d packets of a broadcast left at Flush, want 1", n)
	}
}
