package icelite

// A restart has the credentials of an ICE restart that is not complete.
type restart struct {
	local       Credentials
	remoteUfrag string
}

// Restart gives the agent the credentials of an ICE restart: local are new ones of this end,
// and remoteUfrag is of the peer. The restart is complete when the peer has proved an address
// from which a check with these credentials has arrived: it has answered a challenge that was
// sent there. Until then checks with the credentials before are valid, too. So a restart alone
// changes nothing, and a check with its credentials has as much weight as one with those before.
// One more Restart replaces the credentials of a restart that is not complete.
//
// During a restart data continues on the existing path.
// https://www.rfc-editor.org/rfc/rfc8445.html#section-9
func (a *Agent) Restart(local Credentials, remoteUfrag string) {
	a.next = &restart{local, remoteUfrag}
	for i := range a.paths {
		a.paths[i].restarted = false
	}
}

// Credentials returns the credentials of this end, and those of a restart that is not complete;
// then restarting is true.
func (a *Agent) Credentials() (current, next Credentials, restarting bool) {
	if a.next == nil {
		return a.local, Credentials{}, false
	}
	return a.local, a.next.local, true
}

// password returns the password for a request, and whether it is that of a restart. ok is false if
// the request is not for this agent, or not from its peer.
func (a *Agent) password(r *Request) (pwd string, restarted, ok bool) {
	switch {
	case string(r.local) == a.local.Ufrag:
		return a.local.Pwd, false, a.remoteUfrag == "" || string(r.remote) == a.remoteUfrag
	case a.next != nil && string(r.local) == a.next.local.Ufrag:
		return a.next.local.Pwd, true, string(r.remote) == a.next.remoteUfrag
	}
	return "", false, false
}

// completeRestart completes a restart, because path i, which is proved, has got a check with its
// credentials.
func (a *Agent) completeRestart(i int) {
	if a.next == nil || !a.paths[i].restarted {
		return
	}
	a.local, a.remoteUfrag, a.next = a.next.local, a.next.remoteUfrag, nil
}
