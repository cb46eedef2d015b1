package icelite_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"

	"github.com/godwit-rtc/godwit/icelite"
)

// A page's check arrives, and the agent of the page answers it. From then on the server
// may send to the address, three times as many bytes as have arrived from it.
func Example() {
	now := time.Now()
	agent := icelite.New(now, icelite.Config{ // made by NewCredentials in a program
		Local:  icelite.Credentials{Ufrag: "srv1", Pwd: "the-password-of-the-server"},
		Remote: icelite.Credentials{Ufrag: "page"},
	})
	check, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername("srv1:page"),
		stun.NewShortTermIntegrity("the-password-of-the-server"), stun.Fingerprint)
	if err != nil {
		fmt.Println(err)
		return
	}

	var request icelite.Request
	if drop := request.Parse(check.Raw); drop != icelite.DropNone {
		fmt.Println("dropped:", drop)
		return
	}
	fmt.Println("a check for", string(request.LocalUfrag()))
	from := netip.MustParseAddrPort("198.51.100.4:50000")
	response, verdict := agent.Answer(now, from, netip.Addr{}, &request, nil)
	path, ok := agent.Selected()
	fmt.Println(len(response) > 0, verdict, path.Remote, ok)
	fmt.Println(agent.MaySend(now, from, 100), agent.MaySend(now, from, 1000))
	// Output:
	// a check for srv1
	// true moved 198.51.100.4:50000 true
	// true false
}
