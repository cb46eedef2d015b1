package rtcserver

import "github.com/godwit-rtc/godwit/internal/enum"

// A Handler is the set of funcs that a server calls for events. For one Conn it calls them
// one at a time: Open first, Close last, the others in the order of the events; or only
// Fail. The documentation of the package says on which goroutine. A func that is nil is
// not called.
type Handler struct {
	// Open is called when the page has connected. From now on Send works on channels that
	// the page made with negotiated: true. For other channels wait for ChannelOpen.
	Open func(*Conn)

	// ChannelOpen is called when the page has opened a channel in-band, as
	// createDataChannel does by default.
	ChannelOpen func(*Conn, Channel)

	// Message is called for each message of the page. Message.Data is valid until the
	// func returns.
	Message func(*Conn, Message)

	// ChannelClose is called when the page has closed an in-band channel.
	ChannelClose func(*Conn, Channel)

	// Close is called when a connection that was open is closed. It is the last call for
	// the connection.
	Close func(*Conn, *CloseError)

	// Fail is called when a connection has ended before it was open. It is the only call
	// for the connection.
	Fail func(*Conn, *CloseError)
}

// Kind is the kind of a message. In the page it is the type of the message's data.
type Kind uint8

const (
	Text   Kind = iota // a string, UTF-8
	Binary             // an ArrayBuffer or a Blob
)

var kindNames = [...]string{"text", "binary"}

// String returns the kind in one word.
func (k Kind) String() string { return enum.Name(k, kindNames[:]) }

// A Message is one message of a page.
type Message struct {
	Kind   Kind
	Stream uint16 // the id of the channel
	Label  string // the label of the channel; empty if it is negotiated
	Data   []byte
}

// A Channel is a data channel that the page opened in-band.
type Channel struct {
	Stream   uint16
	Label    string
	Protocol string
}

// A CloseCode says why a connection ended.
type CloseCode uint8

const (
	CloseByServer      CloseCode = 1 + iota // Conn.Close was called
	CloseByPage                             // the page closed the connection, or the browser did when the user left the page
	CloseShutdown                           // Server.Shutdown or Server.Close was called
	CloseTimeout                            // no valid check arrived for SilenceTimeout
	CloseNeverCame                          // no check arrived within PendingTimeout
	CloseNoHandshake                        // the DTLS handshake failed: see Err
	CloseNoAssociation                      // the SCTP association failed, in its handshake or later: see Err
)

// A CloseError says why a connection ended.
type CloseError struct {
	Code CloseCode
	Text string // the text of Conn.Close or Server.Withdraw
	Err  error  // the cause, or nil
}

var closeTexts = [...]string{
	CloseByServer:      "closed by the server",
	CloseByPage:        "closed by the page",
	CloseShutdown:      "the server shuts down",
	CloseTimeout:       "the page was silent for too long",
	CloseNeverCame:     "the page never connected",
	CloseNoHandshake:   "the DTLS handshake failed",
	CloseNoAssociation: "the SCTP association failed",
}

// String returns the code in words.
func (c CloseCode) String() string { return enum.Name(c, closeTexts[:]) }

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
