package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/godwit-rtc/godwit/relay"
)

// list returns the nodes of the flags and of the file. With -every, a node whose name is not found has the address that it had in
// before, or is left out.
func (o *options) list(ctx context.Context, before []relay.Node) (nodes []relay.Node, err error) {
	var lost []uint32
	add := func(text string) error {
		n, err := parseNode(ctx, text)
		if _, notFound := errors.AsType[*net.DNSError](err); notFound && o.every > 0 {
			lost = append(lost, n.Number)
			return nil
		}
		nodes = append(nodes, n)
		return err
	}
	if err := o.read(add); err != nil {
		return nil, err
	}
	for _, n := range before {
		taken := func(o relay.Node) bool { return o.Number == n.Number || o.Addr == n.Addr }
		if slices.Contains(lost, n.Number) && !slices.ContainsFunc(nodes, taken) {
			nodes = append(nodes, n)
		}
	}
	return nodes, nil
}

// read calls add for each node of the flags and of the file.
func (o *options) read(add func(text string) error) error {
	for _, text := range o.nodes {
		if err := add(text); err != nil {
			return fmt.Errorf("-node %s: %w", text, err)
		}
	}
	if o.file == "" {
		return nil
	}
	file, err := os.Open(o.file)
	if err != nil {
		return fmt.Errorf("-nodes: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		if err := add(text); err != nil {
			return fmt.Errorf("%s:%d: %w", o.file, number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("-nodes: %w", err)
	}
	return nil
}

var errNode = errors.New(`a server is a number and an address, such as "1=10.0.0.5:7777"`)

// parseNode reads a number and an address, with "=" or blanks between. The address may have a name. If the name is not found the error
// is a *net.DNSError, and the number is returned.
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
		return relay.Node{Number: uint32(number)}, err
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
