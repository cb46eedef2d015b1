package doctor

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	maxBody = 1 << 20 // of a response, in bytes

	// soonEnds is the lifetime of a certificate below which somebody should look. CAs renew 30 days
	// before the end.
	soonEnds = 14 * 24 * time.Hour

	// clockSlack is the difference of the clocks that is no problem. A token is accepted if they differ
	// by less than 30 s (auth.Verifier.Skew).
	clockSlack = 5 * time.Second

	// A response is slow after slowFactor round trips and half of Config.Wait.
	slowFactor = 3

	// askSeen and tellSeen are headers of package rtcserver.
	askSeen  = "Godwit-Doctor"
	tellSeen = "Godwit-Seen"
)

// newClient returns a client that makes connections to servers with any certificate: what is wrong with
// it is a result, and the other checks continue.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:           http.ProxyFromEnvironment,
			DialContext:     (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // reach verifies it
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// A response is what has come back for one request.
type response struct {
	*http.Response
	body  []byte
	took  time.Duration // from the request to the first byte of the response
	at    time.Time     // when that came
	setup time.Duration // the time for the connection; zero if there was one
}

// do makes a request. After an error the response has only the time for the connection.
func (v *visit) do(ctx context.Context, method string, to *url.URL, body string, header http.Header) (*response, error) {
	r, err := http.NewRequestWithContext(ctx, method, to.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if header != nil {
		r.Header = header
	}
	maps.Copy(r.Header, v.config.Header)
	r.Header.Set(askSeen, "1")
	out := new(response)
	var dial, sent time.Time
	r = r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		ConnectStart: func(string, string) { dial = time.Now() },
		ConnectDone: func(_, _ string, err error) {
			if err == nil {
				out.setup = time.Since(dial)
			}
		},
		GotConn: func(i httptrace.GotConnInfo) {
			sent = time.Now()
			if !v.proxied {
				v.site, _ = netip.ParseAddrPort(i.Conn.RemoteAddr().String())
			}
		},
		GotFirstResponseByte: func() { out.at = time.Now() },
	}))
	if out.Response, err = v.client.Do(r); err != nil {
		return out, err
	}
	defer out.Body.Close()
	out.took = out.at.Sub(sent)
	if v.trip == 0 || out.took < v.trip {
		v.trip = out.took
	}
	v.seen = cmp.Or(out.Header.Get(tellSeen), v.seen)
	out.body, err = io.ReadAll(io.LimitReader(out.Body, maxBody))
	return out, err
}

// reach looks up the name, connects, and finds the server.
func (v *visit) reach(ctx context.Context) bool {
	if !v.lookUp(ctx) {
		return false
	}
	resp, err := v.do(ctx, http.MethodGet, v.url, "", nil)
	if err != nil && resp != nil && resp.setup > 0 {
		v.fail("http", FaultSilent, "see that the port is that of the web server, and https or http is right; if it is, the server hangs, or the path loses large packets (the MTU of a tunnel)",
			"%s accepts a TCP connection, but no response comes: %v", v.url.Host, rootCause(err))
		return false
	}
	if err != nil {
		v.fail("connection", FaultConnection, "see that the web server runs, that the port is that of the URL, and that the firewall lets TCP through", "no answer from %s: %v", v.url.Host, rootCause(err))
		return false
	}
	if via, _ := http.ProxyFromEnvironment(resp.Request); via != nil {
		v.proxied = true
		v.site = netip.AddrPortFrom(v.host, v.site.Port())
		v.ok("connection", "through the proxy %s of this machine's environment, in %s", via.Host, brief(resp.setup))
	} else {
		v.ok("connection", "%v accepts a TCP connection in %s", v.site, brief(resp.setup))
		v.tryOthers(ctx)
	}
	v.judgeCertificate(resp.TLS, time.Now())
	if resp.StatusCode/100 == 3 {
		if resp = v.follow(ctx, resp); resp == nil {
			return false
		}
	}
	v.judgeClock(resp)
	return v.find(ctx, resp)
}

func (v *visit) lookUp(ctx context.Context) bool {
	host := v.url.Hostname()
	if a, err := netip.ParseAddr(host); err == nil {
		v.host = a
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	began := time.Now()
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		v.fail("name", FaultName, "see that the name is spelt correctly, and that its DNS has a record of type A or AAAA", "no address of %s: %v", host, err)
		return false
	}
	v.host, v.hosts = all[0].Unmap(), all[:min(len(all), maxHosts)]
	var texts []string
	for _, a := range all {
		texts = append(texts, a.Unmap().String())
	}
	v.ok("name", "%s is %s, found in %s", host, strings.Join(texts, ", "), brief(time.Since(began)))
	return true
}

// maxHosts limits the addresses of a name that are tried.
const maxHosts = 8

// tryOthers connects to the other addresses of the host's name. A browser tries them, too, and some players
// have only one of them.
func (v *visit) tryOthers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, v.config.Wait)
	defer cancel()
	errs := make([]error, len(v.hosts))
	var dials sync.WaitGroup
	for i, a := range v.hosts {
		dials.Go(func() {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(a.Unmap(), v.site.Port()).String())
			if errs[i] = err; err == nil {
				conn.Close()
			}
		})
	}
	dials.Wait()
	for i, err := range errs {
		a := v.hosts[i].Unmap()
		switch {
		case err == nil || a == v.site.Addr():
		case noWay(err):
			v.skip("connection", "%v: this machine has no way to it", a)
		default:
			v.warn("connection", FaultAddresses, "remove the address from the DNS of the name, or let something answer there: the browsers of some players use it", "nothing answers at %v, which is an address of %s, too: %v", a, v.url.Hostname(), rootCause(err))
		}
	}
}

// judgeCertificate says how long the certificate of HTTPS is valid, or what is wrong with it.
func (v *visit) judgeCertificate(state *tls.ConnectionState, now time.Time) {
	if state == nil {
		if !private(v.site.Addr()) {
			v.warn("certificate", FaultCertificate, "serve the page and the signaling over HTTPS: anybody between can read tokens and change the answer, and pages of HTTPS cannot use this URL", "there is no TLS, and the server is on the internet")
		} else {
			v.skip("certificate", "there is no TLS")
		}
		return
	}
	cert := state.PeerCertificates[0]
	left := cert.NotAfter.Sub(now)
	end := cert.NotAfter.UTC().Format("2006-01-02 15:04 MST")
	err := verify(state, v.url.Hostname(), now)
	v.unsafe = err != nil
	switch {
	case left < 0:
		v.fail("certificate", FaultExpired, "renew the certificate, and see that the web server has loaded the new one; browsers refuse this one", "the certificate of %s has expired %s ago, on %s", v.url.Hostname(), days(-left), end)
	case err != nil:
		v.fail("certificate", FaultCertificate, "browsers refuse this certificate: use one of a CA for the name of the URL, with the chain of intermediate certificates", "%v", err)
	case left < soonEnds:
		v.warn("certificate", FaultSoon, "see that the renewal works", "the certificate of %s ends in %s, on %s", v.url.Hostname(), days(left), end)
	default:
		v.report(Result{Check: "certificate", Text: fmt.Sprintf("valid for %s, until %s, from %s; %s", days(left), end,
			cmp.Or(strings.Join(cert.Issuer.Organization, " "), cert.Issuer.CommonName, "itself"), tls.VersionName(state.Version)), Data: map[string]any{"days": int(left.Hours() / 24)}})
	}
	if v.unsafe && len(v.tokens) > 0 {
		v.tokens = nil
		v.skip("token", "the token is not sent, because the certificate is not valid")
	}
}

// verify checks a certificate as a browser does.
func verify(state *tls.ConnectionState, host string, now time.Time) error {
	o := x509.VerifyOptions{DNSName: host, CurrentTime: now, Intermediates: x509.NewCertPool()}
	for _, c := range state.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(o)
	return err
}

// days returns a time in days, or hours if it is short.
func days(d time.Duration) string {
	if h := int(d.Hours()); h < 48 {
		return fmt.Sprintf("%d hours", h)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// follow goes where a redirect leads.
func (v *visit) follow(ctx context.Context, resp *response) *response {
	from := v.url
	for range 5 {
		to, err := resp.Location()
		if err != nil {
			break
		}
		v.url = to
		if resp, err = v.do(ctx, http.MethodGet, to, "", nil); err != nil {
			break
		}
		if resp.StatusCode/100 != 3 {
			v.warn("redirect", FaultRedirect, "give the page the second URL: browsers do not repeat a POST after most redirects", "%v redirects to %v", from, to)
			if from.Scheme == "http" && to.Scheme == "https" {
				v.judgeCertificate(resp.TLS, time.Now())
			}
			return resp
		}
	}
	v.fail("redirect", FaultRedirect, "look at the web server's redirects", "%v redirects to nowhere", from)
	return nil
}

// judgeClock compares the clock of the server, or of the proxy before it, with that of this machine.
func (v *visit) judgeClock(resp *response) {
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		v.skip("clock", "the response has no Date")
		return
	}
	off := clockDifference(date, resp.at.Add(-resp.took), resp.at)
	if off.Abs() <= clockSlack {
		v.ok("clock", "differs by less than %.0f s", max(1, off.Abs().Seconds()+0.5))
		return
	}
	ahead := "behind"
	if off > 0 {
		ahead = "ahead of"
	}
	v.warn("clock", FaultClock, "run NTP on both machines: tokens and invites are refused when the clocks differ by more than 30 s", "the server's clock is %s %s the clock here", off.Abs().Round(time.Second), ahead)
}

// clockDifference returns how much a clock that has shown date, cut to seconds, at some time from
// sent to arrived is ahead; zero if it may be right.
func clockDifference(date, sent, arrived time.Time) time.Duration {
	switch {
	case date.After(arrived):
		return date.Sub(arrived)
	case date.Add(time.Second).Before(sent):
		return date.Add(time.Second).Sub(sent)
	}
	return 0
}

// inPages finds the URL of the signaling in the script of a page.
var inPages = regexp.MustCompile("\\b(?:connect|fetch)\\(\\s*[\"'`]([^\"'`?]+)[\"'`]")

// find makes sure that there is a godwit server at the URL. If there is a page, it looks for the
// server's URL in its script, and at /godwit/ below it.
func (v *visit) find(ctx context.Context, resp *response) bool {
	if isServer(resp) {
		if resp.took > slowFactor*resp.setup+v.config.Wait/2 {
			v.warn("http", FaultSlow, "look at the load of the server and of the proxy before it: each player waits for this before the game begins", "a godwit server answers, but after %s; a round trip takes %s", brief(resp.took), brief(resp.setup))
			return true
		}
		v.ok("http", "a godwit server answers in %s", brief(resp.took))
		return true
	}
	paths := []string{"godwit/"}
	if m := inPages.FindSubmatch(resp.body); m != nil && resp.StatusCode == http.StatusOK {
		paths = []string{string(m[1]), "godwit/"}
	}
	for _, path := range paths {
		to, err := v.url.Parse(path)
		if err != nil || to.Host != v.url.Host {
			continue
		}
		if other, err := v.do(ctx, http.MethodGet, to, "", nil); err == nil && isServer(other) {
			v.ok("http", "%v is a page; the godwit server of it is at %v, and answers in %s", v.url, to, brief(other.took))
			v.url = to
			return true
		}
	}
	next := "give the URL to which the page posts its offer: the one in connect(…) of its script"
	if resp.StatusCode >= 500 {
		next = "a proxy answers in place of the server: see that the server runs, and that the proxy has its address"
	}
	v.fail("http", FaultServer, next, "no godwit server at %v: status %s", v.url, resp.Status)
	return false
}

// isServer reports whether a response to a GET is of a godwit server: it asks for a POST.
func isServer(resp *response) bool {
	if resp.Header.Get(tellSeen) != "" {
		return true
	}
	said := parseRefusal(resp.body)
	return resp.StatusCode >= 400 && said.Code != "" && said.Error != ""
}

// rootCause returns the text of the innermost error of a request.
func rootCause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("nothing within the time limit")
	}
	return err
}
