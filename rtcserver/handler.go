package rtcserver

// A Handler is told what happens on a server. Its funcs are called one at a time
// for one Conn: Open first, Close last, the others as things happen; or Fail
// alone. See the package's page for who calls them. A func that is nil is not
// called.
type Handler struct {
	// Open: the page is connected, and messages may be sent to it on channels
	// that it made with negotiated: true. On others, wait for ChannelOpen.
	Open func(*Conn)

	// ChannelOpen: the page opened a channel in-band, as createDataChannel does
	// unless told otherwise.
	ChannelOpen func(*Conn, Channel)

	// Message: a message came. Its Data is valid until the func returns.
	Message func(*Conn, Message)

	// ChannelClose: the page closed a channel.
	ChannelClose func(*Conn, Channel)

	// Close: a connection that was open is closed. It is the last call for it.
	Close func(*Conn, *CloseError)

	// Fail: a connection ended before it was open. It is the only call for it.
	Fail func(*Conn, *CloseError)
}

func (h *Handler) closed(c *Conn, why *CloseError) {
	f := h.Fail
	if c.opened {
		f = h.Close
	}
	if f != nil {
		f(c, why)
	}
}

// Kind is the kind of a message, which the page sees as the type of its data.
type Kind uint8

const (
	Text   Kind = iota // a string, UTF-8
	Binary             // an ArrayBuffer or a Blob
)

var kindNames = [...]string{"text", "binary"}

// String returns the kind in one word.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// A Message is one datagram of a page.
type Message struct {
	Kind   Kind
	Stream uint16 // the channel's id
	Label  string // the channel's label; empty if it was negotiated
	Data   []byte
}

// A Channel is a data channel that the page opened in-band.
type Channel struct {
	Stream   uint16
	Label    string
	Protocol string
}

// A CloseCode tells why a connection ended.
type CloseCode uint8

const (
	ClosedByUs    CloseCode = 1 + iota // Conn.Close
	ClosedByPage                       // the page closed it or went away in good order
	Shutdown                           // Server.Shutdown or Server.Close
	TimedOut                           // nothing was heard for SilenceTimeout
	NeverCame                          // no check came within PendingTimeout
	NoHandshake                        // the DTLS handshake failed: see Err
	NoAssociation                      // the SCTP association failed, in its handshake or later: see Err
)

// A CloseError tells why a connection ended.
type CloseError struct {
	Code CloseCode
	Text string // the words of Conn.Close or Server.Shutdown, for the log
	Err  error  // what lies behind it, or nil
}

var closeTexts = [...]string{
	ClosedByUs:    "closed by the server",
	ClosedByPage:  "closed by the page",
	Shutdown:      "the server shuts down",
	TimedOut:      "nothing was heard of the page",
	NeverCame:     "the page never came",
	NoHandshake:   "the DTLS handshake failed",
	NoAssociation: "the SCTP association failed",
}

// String returns the code in words.
func (c CloseCode) String() string {
	if int(c) < len(closeTexts) && closeTexts[c] != "" {
		return closeTexts[c]
	}
	return "unknown"
}

func (e *CloseError) Error() string {
	s := "rtcserver: " + e.Code.String()
	if e.Text != "" {
		s += ": " + e.Text
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *CloseError) Unwrap() error { return e.Err }
