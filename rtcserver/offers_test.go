package rtcserver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/sdp"
)

// An error of the program chooses the status, and a client needs a code with it.
func TestRefusalsOfTheProgram(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{errors.New("no"), 403, "forbidden"},
		{&StatusError{Status: 399, Text: "no"}, 403, "forbidden"},
		{&StatusError{Status: 400, Text: "no"}, 400, "request"},
		{&StatusError{Status: 401, Text: "no"}, 401, "token"},
		{&StatusError{Status: 402, Text: "no"}, 402, "request"},
		{&StatusError{Status: 403, Text: "no"}, 403, "forbidden"},
		{&StatusError{Status: 404, Text: "no"}, 404, "request"},
		{&StatusError{Status: 429, Text: "no"}, 429, "rate"},
		{&StatusError{Status: 499, Text: "no"}, 499, "request"},
		{&StatusError{Status: 500, Text: "no"}, 500, "full"},
		{&StatusError{Status: 503, Text: "no"}, 503, "full"},
		{&StatusError{Status: 599, Text: "no"}, 599, "full"},
		{&StatusError{Status: 600, Text: "no"}, 403, "forbidden"},
		{&StatusError{Status: 500, Text: "no", Code: "maintenance"}, 500, "maintenance"},
	} {
		own, _ := c.err.(*StatusError)
		var before StatusError
		if own != nil {
			before = *own
		}
		if got := refusalOf(c.err); got.Status != c.status || got.Code != c.code || got.Text != "no" {
			t.Errorf("%v: %d %s %q, want %d %s", c.err, got.Status, got.Code, got.Text, c.status, c.code)
		}
		if own != nil && (own.Status != before.Status || own.Code != before.Code) {
			t.Errorf("the program's own error is changed to %+v", own)
		}
	}
	for status, want := range map[int]string{404: "Not Found", 599: "refused"} {
		if got := refusalOf(&StatusError{Status: status}); got.Text != want {
			t.Errorf("%d without a text: %q, want %q", status, got.Text, want)
		}
	}
}

func TestRefusalsAreNotKept(t *testing.T) {
	s := listen(t, Config{Settings: Settings{Origins: []string{"*"}}})
	for body, want := range map[string]int{browserOffer(t): 200, "": 400} {
		w := signal(t, s, body, nil)
		if h := w.Header(); w.Code != want || h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "application/json" {
			t.Errorf("status %d, want %d; header %v, want no-store and JSON", w.Code, want, h)
		}
	}
}

func TestTypesOfOffers(t *testing.T) {
	for contentType, want := range map[string]string{
		"":                         "",
		"application/sdp":          "application/sdp",
		"text/plain":               "text/plain",
		"Text/Plain;charset=UTF-8": "text/plain",
		"application/json":         "application/json",
		form:                       form,
		"text/plain;" + strings.Repeat(" ", 200-len("text/plain;")): "text/plain",
		"text/plain;" + strings.Repeat(" ", 201-len("text/plain;")): "none",
		"text/plain; x":   "none",
		"text/html":       "none",
		"application/xml": "none",
	} {
		kind, ok := acceptable(contentType)
		if ok != (want != "none") || ok && kind != want {
			t.Errorf("content type %.40q: %q, %v; want %q", contentType, kind, ok, want)
		}
	}
}

func TestOffersInBadJSON(t *testing.T) {
	for body, want := range map[string]bool{
		`{"sdp":"v=0"}`:         true,
		`{"sdp":"v=0","x":[1]}`: true,
		`{"sdp":"v=0","SDP":5}`: false,
		`{"sdp":"v=0"`:          false,
		`{"sdp":""}`:            false,
		`{}`:                    false,
	} {
		if text, ok := offerText([]byte(body)); ok != want || ok && string(text) != "v=0" {
			t.Errorf("offerText(%s) = %q, %v; want %v", body, text, ok, want)
		}
	}
	s := listen(t, Config{})
	w := signal(t, s, "no offer", from("Content-Type", "text/plain"))
	if wantRefusal(t, w, 400, "not SDP"); strings.Contains(w.Body.String(), "curl") {
		t.Errorf("the refusal names the client: %s", w.Body)
	}
	wantRefusal(t, signal(t, s, "no offer", from("Content-Type", form)), 400, "curl")
	offer := browserOffer(t)
	w = signal(t, s, offer[:strings.Index(offer, "m=")], from("Content-Type", form))
	if wantRefusal(t, w, 400, sdp.ErrNoDataChannel.Error()); strings.Contains(w.Body.String(), "curl") {
		t.Errorf("the refusal of an offer that is SDP names curl: %s", w.Body)
	}
}

// A program that looks for a form in a request does not take the offer for one.
func TestAnOfferIsNoForm(t *testing.T) {
	s := listen(t, Config{Authorize: func(r *http.Request) error {
		if r.FormValue("x") != "" || r.Header.Get("Content-Type") != "text/plain" {
			return errors.New("the offer is a form")
		}
		return nil
	}})
	if w := signal(t, s, browserOffer(t), from("Content-Type", form)); w.Code != http.StatusOK {
		t.Errorf("%d %s, want 200", w.Code, w.Body)
	}
}

type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestOffersThatCannotBeRead(t *testing.T) {
	s := listen(t, Config{})
	wantRefusal(t, signal(t, s, "", func(r *http.Request) { r.Body = io.NopCloser(brokenBody{}) }), 400, "could not be read")
	wantNothing(t, s)
}

// The request that a program's handler passes on stays as it was.
func TestTheCallersRequestIsLeftAlone(t *testing.T) {
	type key struct{}
	s := listen(t, Config{Authorize: func(r *http.Request) error {
		*r = *r.WithContext(context.WithValue(r.Context(), key{}, "found out"))
		r.Header.Set("X-Mine", "1") // of a form, whose headers are copies
		return nil
	}})
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(browserOffer(t)))
	r.Header.Set("Content-Type", form)
	w := testkit.Serve(s, r)
	if w.Code != http.StatusOK || r.Context().Value(key{}) != nil || r.Header.Get("Content-Type") != form || r.Header.Get("X-Mine") != "" {
		t.Errorf("status %d; the handler has changed the header or context of the request: %v", w.Code, r.Header)
	}
}

// deadlines is a response that notes how long its body may take to come.
type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error { d.set = append(d.set, t); return nil }

// The ten seconds for the body begin when it is read, after Authorize.
func TestOffersHaveTenSecondsToCome(t *testing.T) {
	inWorld(t, Config{Authorize: func(*http.Request) error { time.Sleep(7 * time.Second); return nil }}, func(w *world) {
		begin := time.Now()
		d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		w.server.ServeHTTP(d, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(browserOffer(t))))
		want := []time.Time{begin.Add(10 * time.Second), begin.Add(17 * time.Second)}
		if d.Code != http.StatusOK || !slices.EqualFunc(d.set, want, time.Time.Equal) {
			t.Errorf("%d: deadlines %v, want %v", d.Code, d.set, want)
		}
	})
}

// An offer that ends with any error frees its place.
func TestOffersThatEndBadlyLeaveNothing(t *testing.T) {
	offer := browserOffer(t)
	var s *Server
	var end func(c *Conn) error
	s = listen(t, Config{Engine: func(c *Conn, r *http.Request) (Engine, error) { return nil, end(c) }})
	for _, c := range map[string]struct {
		end    func(*Conn) error
		offer  string
		status int
		text   string
	}{
		"the engine refuses":        {func(*Conn) error { return errors.New("no") }, offer, 403, "no"},
		"withdrawn meanwhile":       {func(c *Conn) error { s.Withdraw(c, ""); return nil }, offer, 409, "has replaced this one"},
		"a hash that is none of us": {nil, offeredFingerprint.ReplaceAllString(offer, "a=fingerprint:sha-1 AA"), 400, "fingerprint"},
	} {
		end = c.end
		wantRefusal(t, signal(t, s, c.offer, nil), c.status, c.text)
		wantNothing(t, s)
	}
	end = func(*Conn) error { panic("the program's own") }
	func() {
		defer func() { recover() }()
		signal(t, s, offer, nil)
	}()
	wantNothing(t, s)
	if n := len(s.registry.perIP); n != 0 {
		t.Errorf("%d addresses have connections, want 0", n)
	}
}

// A resume is for something that its engine counts: see Config.Resumes.
func TestResumesDoNotCountForTheAddress(t *testing.T) {
	s := listen(t, Config{Settings: Settings{MaxPerIP: 1}, Resumes: func(r *http.Request) bool { return r.Header.Get("X-Resumes") != "" }})
	for i, c := range []struct {
		resumes string
		status  int
	}{{"", 200}, {"", 429}, {"1", 200}, {"1", 200}, {"1", 429}, {"", 429}} {
		if w := signal(t, s, browserOffer(t), from("X-Resumes", c.resumes)); w.Code != c.status {
			t.Errorf("offer %d: %d, want %d", i, w.Code, c.status)
		}
	}
}

// A server that listens on all addresses puts first the address to which the page's request
// came, if the page may get it.
func TestCandidatesOfAWildcard(t *testing.T) {
	s, err := Listen("0.0.0.0:0", Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	port := s.Addr().Port()
	for _, c := range []struct {
		came net.Addr
		page string
		want string
	}{
		{&net.TCPAddr{IP: net.IPv4(198, 51, 100, 7), Port: 80}, "203.0.113.7", "198.51.100.7"},
		{&net.TCPAddr{IP: net.IPv4(192, 168, 1, 5), Port: 80}, "192.168.1.7", "192.168.1.5"},
		{&net.TCPAddr{IP: net.IPv6loopback, Port: 80}, "::1", "127.0.0.1"}, // of a socket for IPv4
	} {
		ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, c.came)
		all := s.candidates(httptest.NewRequest(http.MethodPost, "/", nil).WithContext(ctx), netip.MustParseAddr(c.page))
		if len(all) == 0 || all[0] != netip.AddrPortFrom(netip.MustParseAddr(c.want), port) {
			t.Errorf("the candidates of a page that came to %v are %v, want %v first", c.came, all, c.want)
		}
		for _, a := range all {
			if !a.IsValid() || a.Port() != port {
				t.Errorf("a candidate of a page that came to %v is %v", c.came, a)
			}
		}
	}
	before, _ := net.Interfaces()
	got := s.Addresses(netip.MustParseAddr("127.0.0.1"))
	after, _ := net.Interfaces() // others may add or remove interfaces meanwhile
	for _, a := range reachable(before) {
		stays := a.Addr().Is4() && slices.Contains(reachable(after), a)
		if stays && len(got) < maxPublic && !slices.Contains(got, netip.AddrPortFrom(a.Addr(), port)) {
			t.Errorf("a page of this machine gets %v, without %v of an interface", got, a.Addr())
		}
	}
	ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "@", Net: "unix"})
	if all := s.candidates(httptest.NewRequest(http.MethodPost, "/", nil).WithContext(ctx), netip.Addr{}); len(all) == 0 || slices.ContainsFunc(all, func(a netip.AddrPort) bool { return !a.IsValid() }) {
		t.Errorf("candidates of a request over a Unix socket: %v, want only valid ones", all)
	}
}

type dialled struct {
	net.Conn
	from   string
	closed *int
}

func (d dialled) LocalAddr() net.Addr {
	return net.UDPAddrFromAddrPort(netip.MustParseAddrPort(d.from))
}
func (d dialled) Close() error { *d.closed++; return nil }

func TestAddressesOfRoutes(t *testing.T) {
	for name, c := range map[string]struct {
		v4, v6 string // local addresses of the routes
		page   string // its address; the route there is from 10.0.0.5
		want   []string
		opened int
	}{
		"both":                   {"192.168.1.5:1", "[2001:db8::5]:1", "", []string{"192.168.1.5", "2001:db8::5"}, 2},
		"none":                   {"", "", "", nil, 0},
		"IPv6 alone":             {"", "[2001:db8::5]:1", "", []string{"2001:db8::5"}, 1},
		"a loopback one":         {"127.0.0.1:1", "[fe80::1]:1", "", nil, 2},
		"mapped":                 {"[::ffff:192.168.1.5]:1", "", "", []string{"192.168.1.5"}, 1},
		"to a page":              {"192.168.1.5:1", "", "10.0.0.7", []string{"10.0.0.5", "192.168.1.5"}, 2},
		"a page on this machine": {"192.168.1.5:1", "", "127.0.0.1", []string{"192.168.1.5"}, 1},
	} {
		closed := 0
		page, _ := netip.ParseAddr(c.page)
		got := routeAddrs(func(network, address string) (net.Conn, error) {
			from := c.v4
			switch {
			case strings.HasPrefix(address, "["):
				from = c.v6
			case strings.HasPrefix(address, "10."):
				from = "10.0.0.5:1"
			}
			if network != "udp" || from == "" {
				return nil, errors.New("no route")
			}
			return dialled{from: from, closed: &closed}, nil
		}, page)
		if !slices.Equal(got, addrsOf(c.want...)) || closed != c.opened {
			t.Errorf("%s: %v, want %v; %d of %d closed", name, got, c.want, closed, c.opened)
		}
	}
}

func TestAddressesOfAnInterfaceThatCanBeReached(t *testing.T) {
	ip := func(s string) net.Addr { return &net.IPNet{IP: net.ParseIP(s), Mask: net.CIDRMask(8, 32)} }
	got := global([]net.Addr{
		ip("127.0.0.1"), ip("192.168.1.5"), ip("169.254.1.1"), ip("fe80::1"), ip("::1"), ip("2001:db8::5"), ip("224.0.0.1"),
		&net.IPNet{}, &net.IPAddr{IP: net.ParseIP("192.168.1.6")},
		&net.IPNet{IP: net.ParseIP("192.168.1.7"), Mask: net.CIDRMask(120, 128)},
	}, true)
	want := []interfaceAddr{
		{netip.MustParsePrefix("192.168.1.5/8"), true, 0}, {netip.MustParsePrefix("2001:db8::5/8"), true, 0},
		{netip.MustParsePrefix("192.168.1.7/24"), true, 1},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		i.Flags |= net.FlagUp | net.FlagRunning
		all, _ := i.Addrs()
		if got := reachable([]net.Interface{i}); !slices.Equal(got, global(all, bridges(i.Name))) {
			t.Errorf("of %s %v can be reached, want %v", i.Name, got, global(all, bridges(i.Name)))
		}
		for _, missing := range []net.Flags{net.FlagUp, net.FlagRunning} {
			down := i
			down.Flags &^= missing
			if got := reachable([]net.Interface{down}); len(got) > 0 {
				t.Errorf("the interface %s without %v is used: %v", i.Name, missing, got)
			}
		}
	}
}
