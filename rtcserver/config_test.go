package rtcserver

import (
	"io"
	"log/slog"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/internal/ufrag"
	"github.com/godwit-rtc/godwit/netsim"
)

func TestDefaultsAreAsDocumented(t *testing.T) {
	var c Config
	if err := c.setDefaults(); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][2]any{
		"Shards":           {c.Shards, 1},
		"MaxConns":         {c.MaxConns, 4096},
		"MaxPending":       {c.MaxPending, 1024},
		"MaxPerIP":         {c.MaxPerIP, 64},
		"MaxHandshakes":    {c.MaxHandshakes, 64},
		"PendingTimeout":   {c.PendingTimeout, 30 * time.Second},
		"HandshakeTimeout": {c.HandshakeTimeout, 10 * time.Second},
		"SilenceTimeout":   {c.SilenceTimeout, 30 * time.Second},
		"MaxReceive":       {c.MaxReceive, 16 << 10},
		"MaxChannels":      {c.MaxChannels, 16},
		"MaxOffers":        {c.MaxOffers, 20},
		"ReadBuffer":       {c.ReadBuffer, 4 << 20},
		"WriteBuffer":      {c.WriteBuffer, 4 << 20},
	} {
		if got[0] != got[1] {
			t.Errorf("%s is %v, want %v", name, got[0], got[1])
		}
	}
}

// A setting is named by the error that refuses it; at the bounds it is taken.
func TestConfigsAtTheirBounds(t *testing.T) {
	public := func(n int) []netip.AddrPort {
		var all []netip.AddrPort
		for range n {
			all = append(all, netip.MustParseAddrPort("192.0.2.1:7777"))
		}
		return all
	}
	one := netip.MustParseAddr("192.0.2.1")
	each := func(netip.Addr) []netip.AddrPort { return nil }
	const severalPublic = "Config has more than one of Public, PublicFunc and Discover"
	for _, test := range []struct {
		name string
		c    Config
		want string // of the error
	}{
		{"no shard", Config{Settings: Settings{Shards: -1}}, "Config.Shards is -1, but must be 1 to 64"},
		{"64 shards", Config{Settings: Settings{Shards: 64}}, ""},
		{"65 shards", Config{Settings: Settings{Shards: 65}}, "Config.Shards is 65"},
		{"Manual with a shard", Config{Settings: Settings{Shards: 1}, Manual: true}, ""},
		{"Manual with two", Config{Settings: Settings{Shards: 2}, Manual: true}, "Config.Manual needs one shard, but Config.Shards is 2"},
		{"8 addresses", Config{Settings: Settings{Public: public(8)}}, ""},
		{"9 addresses", Config{Settings: Settings{Public: public(9)}}, "Config.Public has 9 addresses, but may have at most 8"},
		{"no address", Config{Settings: Settings{Public: []netip.AddrPort{netip.AddrPortFrom(netip.Addr{}, 7777)}}}, "Config.Public has"},
		{"no port", Config{Settings: Settings{Public: []netip.AddrPort{netip.AddrPortFrom(one, 0)}}}, "Config.Public has 192.0.2.1:0"},
		{"any address", Config{Settings: Settings{Public: []netip.AddrPort{netip.MustParseAddrPort("[::]:7777")}}}, "Config.Public has [::]:7777"},
		{"any IPv4 address, as IPv6", Config{Settings: Settings{Public: []netip.AddrPort{netip.MustParseAddrPort("[::ffff:0.0.0.0]:7777")}}}, "Config.Public has [::ffff:0.0.0.0]:7777"},
		{"addresses of a func", Config{Settings: Settings{PublicFunc: each}}, ""},
		{"addresses, and those of a func", Config{Settings: Settings{Public: public(1), PublicFunc: each}}, severalPublic},
		{"addresses, and those of a STUN server", Config{Settings: Settings{Public: public(1), Discover: "stun.example:3478"}}, severalPublic},
		{"addresses of a func and of a STUN server", Config{Settings: Settings{PublicFunc: each, Discover: "stun.example:3478"}}, severalPublic},
		{"1,199 bytes", Config{Settings: Settings{MaxReceive: 1199}}, "Config.MaxReceive is 1199, but must be 1200 to 65536"},
		{"1,200 bytes", Config{Settings: Settings{MaxReceive: 1200}}, ""},
		{"64 KiB", Config{Settings: Settings{MaxReceive: 64 << 10}}, ""},
		{"64 KiB and a byte", Config{Settings: Settings{MaxReceive: 64<<10 + 1}}, "Config.MaxReceive is 65537"},
		{"less than no channel", Config{Settings: Settings{MaxChannels: -1}}, "Config.MaxChannels is -1"},
		{"a channel", Config{Settings: Settings{MaxChannels: 1}}, ""},
		{"256 channels", Config{Settings: Settings{MaxChannels: 256}}, ""},
		{"257 channels", Config{Settings: Settings{MaxChannels: 257}}, "Config.MaxChannels is 257"},
		{"the last node", Config{Settings: Settings{Node: ufrag.MaxNode}}, ""},
		{"a node more", Config{Settings: Settings{Node: ufrag.MaxNode + 1}}, "Config.Node is"},
		{"less than a second", Config{Settings: Settings{SilenceTimeout: time.Second - 1}}, "Config.SilenceTimeout is 999.999999ms"},
		{"a second", Config{Settings: Settings{SilenceTimeout: time.Second}}, ""},
		{"half a minute", Config{Settings: Settings{SilenceTimeout: 30 * time.Second}}, ""},
		{"more than half a minute", Config{Settings: Settings{SilenceTimeout: 30*time.Second + 1}}, "Config.SilenceTimeout is 30.000000001s"},
	} {
		err := test.c.setDefaults()
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
}

// Listen and Serve return an error at once if they cannot serve.
func TestListenAndServeReportErrors(t *testing.T) {
	network := netsim.New(1)
	defer network.Close()
	pc := testkit.Listen(t, network, serverAddr)
	silent := slog.New(slog.NewTextHandler(io.Discard, nil))
	for name, listen := range map[string]struct {
		begin func() (*Server, error)
		want  string
	}{
		"Listen, configuration": {func() (*Server, error) { return Listen("127.0.0.1:0", Config{Settings: Settings{Shards: -1}}) }, "Config.Shards is -1"},
		"Listen, address":       {func() (*Server, error) { return Listen("nowhere", Config{Logger: silent}) }, `rtcserver: address "nowhere"`},
		"Serve, configuration":  {func() (*Server, error) { return Serve(pc, Config{Settings: Settings{MaxChannels: -1}}) }, "Config.MaxChannels is -1"},
		"Serve, shards":         {func() (*Server, error) { return Serve(pc, Config{Settings: Settings{Shards: 2}}) }, "Serve has one socket, but Config.Shards is 2"},
	} {
		s, err := listen.begin()
		if s != nil || err == nil || !strings.Contains(err.Error(), listen.want) {
			t.Errorf("%s: %v, want %q", name, err, listen.want)
			if s != nil {
				s.Close()
			}
		}
	}
}

// A server behind relays takes messages of several datagrams from the kernel, unless NoSegments is set.
func TestSegmentsAreForServersBehindRelays(t *testing.T) {
	relays := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
	for _, test := range []struct {
		relays     []netip.Prefix
		noSegments bool
		want       bool
	}{
		{nil, false, false}, {nil, true, false}, {relays, false, true}, {relays, true, false},
	} {
		c := Config{Settings: Settings{Shards: 3, ReadBuffer: 1, WriteBuffer: 2, TrustedRelays: test.relays, NoSegments: test.noSegments}}
		if got, want := c.socket(), (udpio.Config{Sockets: 3, ReadBuffer: 1, WriteBuffer: 2, Segments: test.want}); got != want {
			t.Errorf("%d relays, NoSegments %v: %+v, want %+v", len(test.relays), test.noSegments, got, want)
		}
	}
}

// A peer gets every setting of the Config that is one of a peer. A field of its configuration that the test does not
// know must be in want or among those that are unset.
func TestAPeerGetsItsSettings(t *testing.T) {
	s := &Server{cookieKey: [32]byte{1}, pathKey: [32]byte{2}}
	testkit.Fill(&s.config)
	c := &s.config
	local, remote := peer.Credentials{Ufrag: "a", Pwd: "b"}, peer.Credentials{Ufrag: "c", Pwd: "d"}
	got := s.peerConfig(&Conn{active: true}, local, remote, 7)
	want := peer.Config{
		Client: true,
		ICE: peer.ICEConfig{
			Local: local, Remote: remote, Secret: &s.pathKey, Salt: got.ICE.Salt,
			PendingTimeout: c.PendingTimeout, ConsentTimeout: c.SilenceTimeout,
		},
		SCTP: peer.SCTPConfig{
			LocalTag: got.SCTP.LocalTag, InitialTSN: got.SCTP.InitialTSN, // random, see TestServersAndConnectionsDiffer
			CookieKey: s.cookieKey, RemotePort: 7,
			AllowReliable: true, MaxChannels: c.MaxChannels, Ack: peer.AckMode(c.Acks),
			MaxMessage: c.MaxReceive, MaxBuffered: 4 * c.MaxReceive,
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the peer gets\n%+v\nwant\n%+v", got, want)
	}
	if got.ICE.Secret != &s.pathKey {
		t.Error("the peer has a copy of the secret, which all may share")
	}
	// A server has no Check. EvenStreams is set by package peer, and RemoteInit by snap. A client's acknowledgements
	// are the slow ones. The other fields have one value for all.
	unset := []string{
		"ICE.MaxPaths", "Check", "SCTP.LocalPort", "SCTP.EvenStreams", "SCTP.SlowAck", "SCTP.reassemblyAge", "SCTP.RTT",
		"SCTP.Heartbeat", "RemoteInit",
	}
	if names := testkit.Unset(got); !slices.Equal(names, unset) {
		t.Errorf("%q are unset, want %q", names, unset)
	}
}
