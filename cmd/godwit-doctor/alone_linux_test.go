package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/doctor"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// alone runs the program as a process of its own, with more environment, which the standard library reads only once.
func alone(t *testing.T, env string, args ...string) (r report) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{"-json", "-checks", "5"}, args...)...)
	cmd.Env = append(os.Environ(), "GODWIT_DOCTOR_TEST=doctor", "NO_PROXY=", "no_proxy=", env)
	out, err := cmd.Output()
	if _, exit := errors.AsType[*exec.ExitError](err); err != nil && !exit {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r
}

// An issuer is a CA.
type issuer struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// issue makes a certificate for a name and an address; a CA if the address is nil. The zero issuer makes one that signs itself.
func (by issuer) issue(name string, addr net.IP) issuer {
	key := testkit.Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90*24*time.Hour + time.Hour),
		IsCA: addr == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if addr == nil {
		template.KeyUsage |= x509.KeyUsageCertSign
	} else {
		template.IPAddresses = []net.IP{addr}
	}
	if by.key == nil {
		by = issuer{template, key}
	}
	der := testkit.Must(x509.CreateCertificate(rand.Reader, template, by.certificate, key.Public(), by.key))
	return issuer{testkit.Must(x509.ParseCertificate(der)), key}
}

// A certificate of a CA that the machine knows is good with the intermediate certificates that the server sends, and only for its name.
func TestCertificates(t *testing.T) {
	srv, err := godwit.Listen("127.0.0.1:0", godwit.Config{Secret: "open", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	root := issuer{}.issue("root", nil)
	file := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.certificate.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	between := root.issue("between", nil)
	for _, c := range []struct {
		addr   string
		status doctor.Status
		fault  doctor.Fault
		text   string
	}{
		{"127.0.0.1", doctor.OK, "", "valid for 90 days"},
		{"203.0.113.7", doctor.Fail, doctor.FaultCertificate, "203.0.113.7"},
	} {
		leaf := between.issue("server", net.ParseIP(c.addr))
		web := httptest.NewUnstartedServer(srv)
		web.TLS = &tls.Config{Certificates: []tls.Certificate{{
			Certificate: [][]byte{leaf.certificate.Raw, between.certificate.Raw}, PrivateKey: leaf.key,
		}}}
		web.StartTLS()
		defer web.Close()
		r := alone(t, "SSL_CERT_FILE="+file, "-wait", "20s", "-token", "open", web.URL)
		r.want(t, "certificate", c.status, c.fault, c.text)
		if c.status == doctor.OK {
			r.want(t, "certificate", c.status, c.fault, "from between")
			if days := r.find("certificate").Data["days"]; days != 90. {
				t.Errorf("it is valid for %v days, want 90", days)
			}
			r.want(t, "websocket", doctor.OK, "", "opens")
		}
	}
}

// Requests leave through the proxy of the environment.
func TestTheProxyOfTheEnvironment(t *testing.T) {
	srv, err := godwit.Listen("127.0.0.1:0", godwit.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	var asked atomic.Bool
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host == "203.0.113.1" { // a request to a proxy has it
			asked.Store(true)
		}
		srv.ServeHTTP(w, r)
	}))
	defer web.Close()
	r := alone(t, "HTTP_PROXY="+web.URL, "-wait", "100ms", "http://203.0.113.1/")
	r.want(t, "connection", doctor.OK, "", "through the proxy "+web.Listener.Addr().String())
	if !asked.Load() {
		t.Error("the proxy got no request")
	}
}
