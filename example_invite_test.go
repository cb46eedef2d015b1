package godwit_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/client"
)

// A server sends a player a link, and lets the player in. The player's page may be on any host, or in a
// file: it needs no request to the server. Here a native client is in the place of the page.
func ExampleServer_Invite() {
	key, err := auth.NewInviteKey(rand.Reader) // or Config.KeyFile, for invites that are good after a restart
	if err != nil {
		log.Fatal(err)
	}
	here := make(chan string)
	srv, err := godwit.Listen("127.0.0.1:0", godwit.Config{Invites: key, Handler: godwit.Handler{
		Open: func(c *godwit.Conn) { here <- c.Identity().Name },
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()

	invite, err := srv.Invite(auth.InviteClaims{Subject: "ada", For: 10 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	link := "https://pages.example/game.html#" + invite.Text()

	_, text, _ := strings.Cut(link, "#")
	session, err := client.Connect(context.Background(), "", client.Config{}, client.SessionConfig{
		Invite: func(context.Context) (auth.Invite, error) { return auth.ParseInvite(text) },
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-here, "is here")
	session.Close(0, "done")
	// Output: ada is here
}
