package client_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/client"
)

// The subject and the data of a token are the Identity that every handler gets.
func TestTokenIsTheIdentity(t *testing.T) {
	signer, err := auth.Generate(auth.EdDSA, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan godwit.Identity, 10)
	c := godwit.Config{
		Tokens:  &auth.Verifier{Keys: []auth.Key{signer.Key()}, Audience: "eu-1"},
		Handler: godwit.Handler{Open: func(c *godwit.Conn) { seen <- c.Identity() }},
	}
	inGame(t, c, func(g *game) {
		for _, want := range []struct{ name, data string }{{"ada", `{"team":"red"}`}, {"bob", ""}} {
			token, err := signer.Sign(time.Now(), auth.Claims{
				Subject: want.name, Audience: "eu-1", ID: rand.Text(), Expires: time.Now().Add(time.Minute), Data: json.RawMessage(want.data),
			})
			g.must(err)
			_, err = g.connect(client.SessionConfig{Token: func(context.Context) (string, error) { return token, nil }, Handler: g.handler()})
			g.must(err)
			g.want("open")
			if id := <-seen; id.Name != want.name || string(id.Data) != want.data {
				t.Errorf("the token of %s with %s gives %q with %s", want.name, want.data, id.Name, id.Data)
			}
		}
	})
}

// What Authorize returns is the Identity, its data included.
func TestAuthorizeGivesTheIdentity(t *testing.T) {
	seen := make(chan godwit.Identity, 1)
	c := godwit.Config{
		Authorize: func(r *http.Request) (godwit.Identity, error) {
			return godwit.Identity{Name: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), Data: []byte("level 7")}, nil
		},
		Handler: godwit.Handler{Open: func(c *godwit.Conn) { seen <- c.Identity() }},
	}
	inGame(t, c, func(g *game) {
		_, err := g.connect(client.SessionConfig{Token: func(context.Context) (string, error) { return "ada", nil }, Handler: g.handler()})
		g.must(err)
		g.want("open")
		if id := <-seen; id.Name != "ada" || string(id.Data) != "level 7" {
			t.Errorf("the identity is %q with %q, want ada with level 7", id.Name, id.Data)
		}
	})
}
