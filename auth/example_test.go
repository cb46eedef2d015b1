package auth_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/godwit-rtc/godwit/auth"
)

// The login service signs a token for a player, and the game server verifies it. The game
// server has only the public key.
func Example() {
	signer, err := auth.Generate(auth.EdDSA, rand.Reader)
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Now()
	token, err := signer.Sign(now, auth.Claims{
		Subject:  "ada",
		Audience: "europe",
		ID:       "0b3c9f", // random in a program
		Expires:  now.Add(time.Minute),
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	verifier := auth.Verifier{Keys: []auth.Key{signer.Key()}, Audience: "europe"}
	var used auth.Used // the server's memory of tokens: each is good once
	for range 2 {
		claims, err := verifier.Verify(now, token)
		if err == nil {
			err = used.Spend(now, claims)
		}
		if e, ok := errors.AsType[*auth.Error](err); ok {
			fmt.Println("refused:", e.Reason())
			continue
		}
		fmt.Println("welcome,", claims.Subject)
	}
	// Output:
	// welcome, ada
	// refused: replayed
}
