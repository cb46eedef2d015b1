package fleet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// An embedded is the NATS server of this process.
type embedded struct {
	server *server.Server
	dir    string // directory that close removes; empty if there is none
}

// Limits of what the NATS server of this process keeps in its streams.
const (
	maxMemoryStore = 256 << 20
	maxFileStore   = 1 << 30
)

// startEmbedded starts a NATS server, with JetStream. It listens only if c says so.
func startEmbedded(c *Config) (e *embedded, err error) {
	e = new(embedded)
	o := &server.Options{
		ServerName: c.Name,
		DontListen: c.Listen == "",
		NoSigs:     true,
		Username:   c.User,
		Password:   c.Password,
		JetStream:  true,
		StoreDir:   c.Dir,

		JetStreamMaxMemory: maxMemoryStore,
		JetStreamMaxStore:  maxFileStore,
	}
	if c.Listen != "" {
		host, port, err := net.SplitHostPort(c.Listen)
		if err != nil {
			return nil, fmt.Errorf("fleet: Config.Listen: %w", err)
		}
		o.Host = host
		if o.Port, err = strconv.Atoi(port); err != nil {
			return nil, fmt.Errorf("fleet: Config.Listen: %w", err)
		}
		if o.Port == 0 {
			o.Port = server.RANDOM_PORT
		}
		o.TLSConfig = c.TLS
	}
	if c.Dir == "" { // JetStream wants a directory even if all streams are in memory
		if e.dir, err = os.MkdirTemp("", "godwit-fleet-"); err != nil {
			return nil, fmt.Errorf("fleet: %w", err)
		}
		o.StoreDir = e.dir
	}
	if e.server, err = server.NewServer(o); err != nil {
		e.close()
		return nil, fmt.Errorf("fleet: the NATS server of this process: %w", err)
	}
	e.server.Start()
	if !e.server.ReadyForConnections(10 * time.Second) {
		e.close()
		return nil, errors.New("fleet: the NATS server of this process does not start: is its address in use, or its directory not writable?")
	}
	return e, nil
}

// alone reports whether no other node can be in the fleet: NATS is in this process, and does not listen.
func (f *Fleet) alone() bool { return f.embedded != nil && f.config.Listen == "" }

func (e *embedded) close() {
	if e == nil {
		return
	}
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
	}
	if e.dir != "" {
		os.RemoveAll(e.dir)
	}
}
