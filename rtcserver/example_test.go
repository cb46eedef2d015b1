package rtcserver_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// A matchmaker that has other connections to players, such as WebSockets, passes their offers
// on. There is no HTTP request, and no address except the one that the matchmaker names.
func ExampleServer_Answer() {
	got := make(chan string)
	srv, err := rtcserver.Listen("127.0.0.1:0", rtcserver.Config{
		Authorize: func(r *http.Request) error {
			fmt.Println("a player at", r.RemoteAddr)
			return nil
		},
		Handler: rtcserver.Handler{Message: func(_ *rtcserver.Conn, m rtcserver.Message) { got <- string(m.Data) }},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()

	overTheWebSocket := func(ctx context.Context, offer []byte) ([]byte, error) {
		return srv.Answer(ctx, offer, netip.MustParseAddr("203.0.113.7"))
	}

	endpoint, err := client.Listen("127.0.0.1:0", client.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer endpoint.Close()
	conn, err := endpoint.Connect(context.Background(), overTheWebSocket, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	conn.Send(0, client.Text, []byte("hello"))
	fmt.Println(<-got)
	// Output:
	// a player at 203.0.113.7:0
	// hello
}
