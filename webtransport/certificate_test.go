package webtransport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A certificate that is served was announced before, while another one was served, and is one that
// browsers accept by its hash: at whatever times clients ask.
func TestCertificatesChangeWithOverlap(t *testing.T) {
	for _, step := range []time.Duration{time.Minute * 97, time.Hour * 24, certificateTerm - time.Second, certificateTerm} {
		var c certificates
		var before [2]*certificate
		begun := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		served := make(map[string]bool)
		for now := begun; now.Before(begun.Add(30 * 24 * time.Hour)); now = now.Add(step) {
			pair := testkit.Must(c.at(now))
			if before[0] != nil && pair[0] != before[0] && pair[0] != before[1] {
				t.Fatalf("every %v: at %v a certificate is served that nobody knew before", step, now)
			}
			before = pair
			served[pair[0].hash] = true
			for _, x := range pair {
				cert := testkit.Must(x509.ParseCertificate(x.tls.Certificate[0]))
				key, ok := cert.PublicKey.(*ecdsa.PublicKey)
				if !ok || key.Curve != elliptic.P256() || cert.NotAfter.Sub(cert.NotBefore) > 14*24*time.Hour {
					t.Fatalf("no browser accepts %v", cert)
				}
				if cert.Subject.CommonName != "godwit" || cert.KeyUsage != x509.KeyUsageDigitalSignature ||
					!slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
					t.Fatalf("a certificate of %q is for %v, %v; want one of godwit, for signatures of a server", cert.Subject.CommonName, cert.KeyUsage, cert.ExtKeyUsage)
				}
				if now.Before(cert.NotBefore.Add(certificateEarly)) || now.Add(certificateRest).After(cert.NotAfter) {
					t.Fatalf("every %v: at %v a certificate is valid from %v to %v", step, now, cert.NotBefore, cert.NotAfter)
				}
			}
		}
		if n := len(served); n < 5 || n > 9 {
			t.Errorf("every %v: %d certificates were served in 30 days", step, n)
		}
	}
}

// After a long time in which nobody asked, the certificates are new ones.
func TestCertificatesThatNobodyHasAskedFor(t *testing.T) {
	var c certificates
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, pause := range []time.Duration{0, 7 * 24 * time.Hour, 11 * 24 * time.Hour, 400 * 24 * time.Hour} {
		now = now.Add(pause)
		for i, x := range testkit.Must(c.at(now)) {
			if x.until.Before(now.Add(certificateTerm + certificateRest)) {
				t.Errorf("after %v, certificate %d ends at %v, and now is %v", pause, i, x.until, now)
			}
		}
	}
}

// A client connects with the hashes of its answer after the certificate has changed, and not with
// others.
func TestHashesOfTheAnswerOutliveAChange(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		time.Sleep(certificateTerm - time.Second)
		o := w.offer()
		time.Sleep(2 * time.Second)
		if after := w.offer().Hashes; slices.Equal(after, o.Hashes) || after[0] != o.Hashes[1] {
			t.Errorf("the hashes were %v and are %v", o.Hashes, after)
		}
		if status, _ := w.guest("192.0.2.66").with(o, o.Ticket); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
		o = w.offer()
		if _, _, err := w.guest("192.0.2.67").dial(w.t.Context(), o.URL+"?ticket="+o.Ticket, nil, o.Hashes[1:]); err == nil {
			t.Error("the certificate has a hash that was not announced for it")
		}
	})
}
