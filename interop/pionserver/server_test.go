package pionserver_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/interop/pionserver"
)

func TestMain(m *testing.M) { os.Exit(browser.Main(m)) }

func TestEchoesInBrowsers(t *testing.T) {
	for _, kind := range browser.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			b := browser.Start(t, kind)
			srv, err := pionserver.Listen(browser.Host(t).String()+":0", pionserver.Config{
				Handler: pionserver.Handler{Message: func(c *pionserver.Conn, m pionserver.Message) {
					c.Send(m.Stream, m.Text, m.Data)
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { srv.Close() })

			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			var got struct {
				Text   string
				Size   int
				Phases map[string]float64
			}
			err = b.Page(t, browser.Serve(t, srv)).Eval(ctx, `
				const c = await connect();
				const text = await c.channels[0].echo("hello");
				const bytes = await c.channels[0].echo(pattern(arg));
				return { text, size: bytes.byteLength, phases: c.phases };
			`, 1160, &got)
			if err != nil {
				t.Fatal(err)
			}
			if got.Text != "hello" || got.Size != 1160 {
				t.Errorf("echo %q and %d bytes, want hello and 1160", got.Text, got.Size)
			}
			t.Logf("%s: phases in ms: %v", b.Version, got.Phases)
		})
	}
}
