//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// A site is a link with an HTTP server at its near end.
type site struct {
	tun   *netsim.Tun
	proxy bool // through nginx
}

// serve serves HTTP at the near end. It returns the address for clients at the far end, and
// what ends it.
func (s *site) serve(h http.Handler) (addr string, end func(), err error) {
	near := s.tun.Near()
	host := near.Addrs()[0].String()
	listen := host + ":0"
	if s.proxy {
		listen = "127.0.0.1:0"
	}
	var l net.Listener
	if err := near.Do(func() (err error) { l, err = net.Listen("tcp", listen); return err }); err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: h}
	go server.Serve(l)
	end = func() { server.Close() }
	if !s.proxy {
		return l.Addr().String(), end, nil
	}
	addr = host + ":8080"
	stop, err := s.nginx(addr, l.Addr().String())
	if err != nil {
		end()
		return "", nil, err
	}
	return addr, func() { server.Close(); stop() }, nil
}

// nginxConfig is the usual one for WebSockets, with nginx's own sizes of buffers.
const nginxConfig = `daemon off;
pid %[1]s/pid;
error_log stderr error;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	map $http_upgrade $connection_upgrade { default upgrade; "" close; }
	server {
		listen %[2]s;
		location / {
			proxy_pass http://%[3]s;
			proxy_http_version 1.1;
			proxy_set_header Host $http_host;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection $connection_upgrade;
		}
	}
}
`

// nginx starts nginx at the near end, and waits until it accepts connections.
func (s *site) nginx(addr, target string) (stop func(), err error) {
	dir, err := os.MkdirTemp("", "age")
	if err != nil {
		return nil, err
	}
	os.Chmod(dir, 0o755) // the workers have another user
	file := filepath.Join(dir, "nginx.conf")
	cmd := exec.Command("nginx", "-c", file, "-p", dir)
	cmd.Stderr = os.Stderr
	if err := os.WriteFile(file, fmt.Appendf(nil, nginxConfig, dir, addr, target), 0o600); err != nil {
		return nil, err
	}
	if err := s.tun.Near().Do(cmd.Start); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	stop = func() {
		cmd.Process.Signal(os.Interrupt) // ends the workers too
		cmd.Wait()
		os.RemoveAll(dir)
	}
	for range 1000 {
		err = s.tun.Near().Do(func() error {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
			}
			return err
		})
		if err == nil {
			return stop, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	return nil, fmt.Errorf("nginx does not listen: %w", err)
}

// client returns an HTTP client at the far end.
func (s *site) client() *http.Client {
	var d net.Dialer
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
			err = s.tun.Far().Do(func() error { c, err = d.DialContext(ctx, network, addr); return err })
			return c, err
		},
	}}
}
