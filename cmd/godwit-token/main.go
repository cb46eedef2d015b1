// Godwit-token makes keys, and tokens with which a godwit server authenticates players.
//
//	godwit-token key > private.pem               a new key, which signs
//	godwit-token public < private.pem > key.pem  its public part, with which servers verify
//	godwit-token sign -key private.pem -sub ada -aud eu-1
//	godwit-token verify -key key.pem -aud eu-1 < token
//	godwit-token invite -keys server.pem -addr 203.0.113.7:7777 -sub ada
//
// The login service of a game makes tokens with package auth. This command is for tests, for
// scripts, and to make keys.
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/auth"
)

const usage = `usage:
  godwit-token key [-alg EdDSA|ES256|HS256]                   print a new private key
  godwit-token public < private.pem                           print its public key; of HS256 the secret, as there is no other
  godwit-token sign -key private.pem -sub PLAYER -aud SERVER [-for 1m] [-data JSON] [-jti ID] [-kid ID]
  godwit-token verify -key key.pem -aud SERVER [-reusable] < token    say what a token says, or what is wrong with it
  godwit-token keys -keys FILE                                make FILE, the KeyFile of a server, unless it exists, and say what it has
  godwit-token invite -keys FILE -addr ADDRESSES [-node N] [-sub PLAYER] [-for 1m] [-data TEXT] [-channels HASH] [-json]

PLAYER is the Identity.Name that the server gets, SERVER the Audience of its
Verifier, and JSON its Identity.Data. A page shows the token as its option "token".
Servers refuse tokens that are good for more than 24h, unless their Verifier
says otherwise, and so does verify. Without -jti a token has a random ID.

A key is a PEM block (PKCS #8, PKCS #1, SEC 1, a certificate) or a JWK: Ed25519,
P-256 (ES256), RSA (RS256) or a secret (HS256). A token names the key that signed
it: -kid, or the JWK's "kid", or an ID made of the key. With -reusable a token
needs no ID, as for a server whose Verifier is Reusable.

An invite lets one player in, once, without a request to a web server. ADDRESSES are
those of the server's UDP port, with commas between: 203.0.113.7:7777,[2001:db8::1]:7777.
N is the number of the server behind a relay.
PLAYER is at most 64 bytes and TEXT, the Identity.Data, at most 48. HASH is that of the
server's table of channels. The text of an invite goes behind the # of a URL. FILE has the
certificate and the key of the server, also for servers in other languages: keys prints
the key. Whoever has FILE can let in anybody.
`

// takes lists the flags of each command.
var takes = map[string][]string{
	"key":    {"alg"},
	"public": nil,
	"sign":   {"key", "sub", "aud", "for", "data", "jti", "kid"},
	"verify": {"key", "aud", "reusable"},
	"keys":   {"keys"},
	"invite": {"keys", "addr", "node", "sub", "for", "data", "channels", "json"},
}

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "godwit-token:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("say what to do\n%s", usage)
	}
	if slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		_, err := io.WriteString(out, usage)
		return err
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var o options
	flags.StringVar(&o.algorithm, "alg", "EdDSA", "")
	flags.StringVar(&o.key, "key", "", "")
	flags.StringVar(&o.subject, "sub", "", "")
	flags.StringVar(&o.audience, "aud", "", "")
	flags.StringVar(&o.id, "jti", "", "")
	flags.StringVar(&o.data, "data", "", "")
	flags.StringVar(&o.kid, "kid", "", "")
	flags.BoolVar(&o.reusable, "reusable", false, "")
	flags.StringVar(&o.keys, "keys", "", "")
	flags.StringVar(&o.addresses, "addr", "", "")
	flags.UintVar(&o.node, "node", 0, "")
	flags.StringVar(&o.channels, "channels", "", "")
	flags.BoolVar(&o.json, "json", false, "")
	flags.DurationVar(&o.lifetime, "for", time.Minute, "")
	if err := flags.Parse(args[1:]); errors.Is(err, flag.ErrHelp) {
		_, err := io.WriteString(out, usage)
		return err
	} else if err != nil {
		return fmt.Errorf("%w\n%s", err, usage)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is no flag\n%s", flags.Arg(0), usage)
	}
	names, known := takes[args[0]]
	if !known {
		return fmt.Errorf("%q is not known\n%s", args[0], usage)
	}
	var err error
	flags.Visit(func(f *flag.Flag) {
		if !slices.Contains(names, f.Name) {
			err = fmt.Errorf("-%s is no flag of %s\n%s", f.Name, args[0], usage)
		}
	})
	if err != nil {
		return err
	}
	switch args[0] {
	case "key":
		return o.newKey(out)
	case "public":
		return public(in, out)
	case "sign":
		return o.sign(out)
	case "keys":
		return o.showKeys(out)
	case "invite":
		return o.invite(out)
	}
	return o.verify(in, out)
}

type options struct {
	algorithm, key, subject, audience, id, kid, data string
	lifetime                                         time.Duration
	reusable                                         bool
	keys, addresses, channels                        string
	node                                             uint
	json                                             bool
}

func (o *options) newKey(out io.Writer) error {
	s, err := auth.Generate(auth.Algorithm(o.algorithm), rand.Reader)
	if err != nil {
		return err
	}
	b, err := s.PEM()
	if err != nil {
		return err
	}
	_, err = out.Write(b)
	return err
}

func public(in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	s, err := auth.ParseSigner(text)
	if err != nil {
		return err
	}
	b, err := s.Key().PEM()
	if err != nil {
		return err
	}
	_, err = out.Write(b)
	return err
}

func (o *options) sign(out io.Writer) error {
	switch {
	case o.key == "" || o.subject == "" || o.audience == "":
		return fmt.Errorf("-key, -sub and -aud are needed\n%s", usage)
	case o.lifetime <= 0:
		return fmt.Errorf("-for %v: such a token has expired already", o.lifetime)
	}
	text, err := os.ReadFile(o.key)
	if err != nil {
		return fmt.Errorf("-key: %w", err)
	}
	s, err := auth.ParseSigner(text)
	if err != nil {
		return err
	}
	if o.kid != "" {
		s = s.WithID(o.kid)
	}
	if o.id == "" {
		o.id = rand.Text()
	}
	now := time.Now()
	token, err := s.Sign(now, auth.Claims{
		Subject: o.subject, Audience: o.audience, ID: o.id, Expires: now.Add(o.lifetime), Data: json.RawMessage(o.data),
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, token)
	return err
}

func (o *options) verify(in io.Reader, out io.Writer) error {
	if o.key == "" || o.audience == "" {
		return fmt.Errorf("-key and -aud are needed\n%s", usage)
	}
	text, err := os.ReadFile(o.key)
	if err != nil {
		return fmt.Errorf("-key: %w", err)
	}
	key, err := auth.ParseKey(text)
	if err != nil {
		return err
	}
	token, err := io.ReadAll(io.LimitReader(in, auth.MaxToken+2))
	if err != nil {
		return err
	}
	v := auth.Verifier{Keys: []auth.Key{key}, Audience: o.audience, Reusable: o.reusable}
	c, err := v.Verify(time.Now(), string(bytes.TrimSpace(token)))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "sub %s\naud %s\njti %s\nexp %s\ndata %s\n",
		c.Subject, c.Audience, c.ID, c.Expires.UTC().Format(time.RFC3339), c.Data)
	return err
}
