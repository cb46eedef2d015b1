package godwit

import (
	"errors"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
)

func TestOpenChannel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		client, server, cd := join(t, srv, "ada")
		d.take()
		cd.take()
		client.handler.Channel = func(c *Conn, id ChannelID) {
			cd.note("channel %d %s", id, c.Channels()[id-1].Name)
			must(t, c.Send(id, []byte("thanks")))
		}
		id, err := server.OpenChannel(Channel{Name: "effects"})
		must(t, err)
		must(t, server.Send(id, []byte("boom")))
		settle()
		cd.want(t, "channel 4 effects", ": boom")
		d.want(t, ": thanks")

		if err := srv.Broadcast(id, nil); err != ErrUnknown {
			t.Errorf("Broadcast on it: %v", err)
		}
		if _, err := client.OpenChannel(Channel{Name: "mine"}); err != ErrFixed {
			t.Errorf("a client opens one: %v", err)
		}
		_, err = server.OpenChannel(Channel{Name: "effects"})
		if _, ok := errors.AsType[*channel.TableError](err); !ok {
			t.Errorf("the same name twice: %v", err)
		}
		if n := len(server.Channels()); n != 4 || len(srv.config.Channels) != 3 {
			t.Errorf("the session has %d channels, the server %d", n, len(srv.config.Channels))
		}

		cut(client)
		settle()
		if err := server.Send(id, nil); err != ErrInterrupted {
			t.Errorf("while it is interrupted: %v", err)
		}
		resume(client, server)
		time.Sleep(time.Second)
		cd.take()
		must(t, server.Send(id, []byte("again")))
		settle()
		cd.want(t, ": again")
	})
}
