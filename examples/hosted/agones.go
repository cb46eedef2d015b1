package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// An agones is the sidecar of a GameServer of Agones, over its HTTP API, without its module:
// https://agones.dev/site/docs/guides/client-sdks/rest/. It is nil outside of Agones; then serve and post do nothing.
type agones struct {
	url    string
	client http.Client
}

// newAgones returns the sidecar at the port that is in AGONES_SDK_HTTP_PORT.
func newAgones(port string, transport http.RoundTripper) *agones {
	if port == "" {
		return nil
	}
	return &agones{"http://localhost:" + port, http.Client{Transport: transport, Timeout: 2 * time.Second}}
}

// serve says once a second that the program is healthy. First it gives the server the address of the port and says that the
// program is ready, as soon as the sidecar answers, which may start later than the program.
func (a *agones) serve(ctx context.Context, port string, setPublic func(...netip.AddrPort) error) {
	if a == nil {
		return
	}
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for ready := false; ; {
		if a.post("/health") && !ready {
			if addr := a.address(ctx, port); addr.IsValid() && setPublic(addr) == nil {
				ready = a.post("/ready")
			}
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
	}
}

// address returns the host's address and the port of it that Agones has chosen for a port of the GameServer, or the zero
// AddrPort if they are not known yet.
func (a *agones) address(ctx context.Context, port string) netip.AddrPort {
	resp, err := a.client.Get(a.url + "/gameserver")
	if err != nil {
		return netip.AddrPort{}
	}
	defer resp.Body.Close()
	var server struct {
		Status struct {
			Address string // an IP address or, in some clouds, a name
			Ports   []struct {
				Name string
				Port uint16
			}
		}
	}
	json.NewDecoder(resp.Body).Decode(&server)
	for _, p := range server.Status.Ports {
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", server.Status.Address)
		if p.Name == port && err == nil {
			return netip.AddrPortFrom(ips[0].Unmap(), p.Port)
		}
	}
	return netip.AddrPort{}
}

// post makes one of the calls that need nothing but their path: /health, /ready, /allocate and /shutdown.
func (a *agones) post(path string) bool {
	if a == nil {
		return true
	}
	resp, err := a.client.Post(a.url+path, "application/json", strings.NewReader("{}"))
	if err != nil {
		slog.Warn("the sidecar of Agones", "error", err)
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
