package browser

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// dropRules drop UDP to and from the ports of a set silently, as a firewall on the way does. In these hooks a socket gets
// no error for a datagram that is dropped on the way out; in the hook "output" it would.
const dropRules = `table netdev godwit {
	set dropped { type inet_service; }
	chain in { type filter hook ingress device eth0 priority 0; udp sport @dropped drop; }
	chain out { type filter hook egress device eth0 priority 0; udp dport @dropped drop; }
}`

// DropUDP makes nftables drop all UDP between the namespace and a port of Host, in both directions, until pass is called
// or the test ends. It returns an error where nftables cannot do so.
func DropUDP(t testing.TB, port uint16) (pass func(), err error) {
	t.Helper()
	n := needNetwork(t)
	running.mu.Lock()
	defer running.mu.Unlock()
	if !n.filters {
		if err := n.nft(dropRules); err != nil {
			return nil, err
		}
		n.filters = true
	}
	if err := n.nft(fmt.Sprintf("add element netdev godwit dropped { %d }", port)); err != nil {
		return nil, err
	}
	pass = sync.OnceFunc(func() {
		if err := n.nft(fmt.Sprintf("delete element netdev godwit dropped { %d }", port)); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(pass)
	return pass, nil
}

// nft runs a script in the namespace.
func (n *network) nft(script string) error {
	cmd := exec.Command("ip", "netns", "exec", n.name, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}
