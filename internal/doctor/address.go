package doctor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// An address is one candidate of an answer, with what is wrong with it.
type address struct {
	text string         // as the answer has it
	addr netip.AddrPort // zero if nothing can be sent there
	why  string         // what is wrong; empty if nothing is
	next string
}

// judgeAddresses looks at each address of the answer.
func (v *visit) judgeAddresses(context.Context) bool {
	if v.answer == nil {
		return true
	}
	if len(v.lines) == 0 {
		v.fail("address", FaultNoAddress, "set Config.RTC.Public to the address that players use, or Config.RTC.Discover to a STUN server: this machine can reach none of the server's own addresses",
			"the answer has no address to send to")
	}
	for _, line := range v.lines {
		a := judgeAddress(line, v.site.Addr())
		if a.addr.IsValid() && !slices.Contains(v.told, a.addr) {
			v.told = append(v.told, a.addr)
		}
		if a.why != "" {
			v.warn("address", FaultAddress, a.next, "%s %s", a.text, a.why)
		}
	}
	if len(v.lines) > 0 && len(v.told) == 0 {
		v.fail("address", FaultNoAddress, "set Config.RTC.Public to the address that players use", "the answer has no address to which a page can send")
	}
	return true
}

// judgeAddress reads a candidate. site is the address of the server over HTTP: if it is one of the
// internet, so is the player.
// https://www.rfc-editor.org/rfc/rfc8839.html#section-5.1
func judgeAddress(line string, site netip.Addr) address {
	const public = "set Config.RTC.Public to the address that players use; if there is a proxy before the server, name it in Config.RTC.TrustedProxies, so that the server knows who is on the internet"
	f := strings.Fields(line)
	if len(f) < 8 || f[6] != "typ" {
		return address{text: strconv.Quote(line), why: "is not a candidate", next: "see that no proxy changes the answer"}
	}
	text := f[4] + ":" + f[5]
	port, err := strconv.ParseUint(f[5], 10, 16)
	addr, bad := netip.ParseAddr(f[4])
	addr = addr.Unmap()
	if bad == nil && err == nil {
		text = netip.AddrPortFrom(addr, uint16(port)).String()
	}
	a := address{text: text}
	switch {
	case !strings.EqualFold(f[2], "udp"):
		a.why, a.next = "is for "+f[2]+": godwit uses UDP only", "see what has written the answer"
		return a
	case bad != nil && strings.HasSuffix(strings.ToLower(f[4]), ".local"):
		a.why, a.next = "is a name of mDNS, which only the same network resolves", "the server must tell its address: see what has written the answer"
		return a
	case bad != nil:
		a.why, a.next = "is a name, and not an address", "the server must tell its address: see what has written the answer"
		return a
	case err != nil || port == 0 || port == 9:
		a.why, a.next = "has no port to send to", public
		return a
	case addr.IsUnspecified() || addr.IsMulticast():
		a.why, a.next = "is no address to send to", public
		return a
	}
	a.addr = netip.AddrPortFrom(addr.WithZone(""), uint16(port))
	switch {
	case addr.IsLoopback() && !site.IsLoopback():
		a.why, a.next = "is an address that only programs on the server's machine reach", public
	case addr.IsLinkLocalUnicast() && !site.IsLinkLocalUnicast() && !site.IsLoopback():
		a.why, a.next = "is a link-local address, which only the same cable reaches, and browsers not at all", public
	case private(addr) && !private(site):
		a.why, a.next = "is a private address, told to a player on the internet: it leads nowhere, and a browser may ask its user for permission to use the local network", public
	}
	return a
}

// list returns addresses, separated by commas.
func list[T fmt.Stringer](all []T) string {
	texts := make([]string, 0, len(all))
	for _, a := range all {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}
