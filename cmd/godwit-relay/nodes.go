package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/godwit-rtc/godwit/relay"
)

// list returns the nodes of the flags and of the file.
func (o *options) list(ctx context.Context) ([]relay.Node, error) {
	var nodes []relay.Node
	for _, text := range o.nodes {
		n, err := parseNode(ctx, text)
		if err != nil {
			return nil, fmt.Errorf("-node %s: %w", text, err)
		}
		nodes = append(nodes, n)
	}
	if o.file == "" {
		return nodes, nil
	}
	file, err := os.Open(o.file)
	if err != nil {
		return nil, fmt.Errorf("-nodes: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		n, err := parseNode(ctx, text)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", o.file, number, err)
		}
		nodes = append(nodes, n)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("-nodes: %w", err)
	}
	return nodes, nil
}

var errNode = errors.New(`a server is a number and an address, such as "1=10.0.0.5:7777"`)

// parseNode reads a number and an address, with "=" or blanks between. The address may have a name.
func parseNode(ctx context.Context, text string) (relay.Node, error) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == '=' || r == ' ' || r == '\t' })
	if len(fields) != 2 {
		return relay.Node{}, errNode
	}
	number, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil {
		return relay.Node{}, errNode
	}
	if addr, err := netip.ParseAddrPort(fields[1]); err == nil {
		return relay.Node{Number: uint32(number), Addr: addr}, nil
	}
	host, port, err := net.SplitHostPort(fields[1])
	if err != nil {
		return relay.Node{}, errNode
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return relay.Node{}, errNode
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return relay.Node{}, err
	}
	addr := addrs[0].Unmap()
	for _, a := range addrs {
		if a = a.Unmap(); a.Is4() {
			addr = a
			break
		}
	}
	return relay.Node{Number: uint32(number), Addr: netip.AddrPortFrom(addr, uint16(p))}, nil
}
