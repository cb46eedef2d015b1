//go:build linux

package game

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
)

// NodeNames are the servers in Node: the libraries ws, socket.io and Colyseus.
var NodeNames = []string{"ws", "socketio", "colyseus"}

// Node returns the command of a server in Node, which prints a line of JSON with the URLs "load" and "control" and ends
// with its standard input. A port of 0 means any. The error says what is not installed.
func Node(ctx context.Context, name, host, port string, rate int) (*exec.Cmd, error) {
	dir := nodeDir()
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		return nil, fmt.Errorf("game: %s is not installed: run npm ci --legacy-peer-deps in interop/compare", name)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("game: %w", err)
	}
	cmd := exec.CommandContext(ctx, node, "--expose-gc", filepath.Join(dir, "game.mjs"), name, host, port, strconv.Itoa(rate))
	cmd.Env = append(os.Environ(), "NODE_ENV=production")
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// nodeDir is the directory of the package of Node.
func nodeDir() string {
	_, self, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(self), "..", "compare")
}
