package channel

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An ID is the number of a channel on the wire: its place in the table. The first is 1.
type ID uint8

// Control is the channel that every table has without an entry. It is reliable and
// ordered, both ends may send on it, its MaxMessage is 64 KiB, its QueueLimit 256 KiB,
// its Priority 0 and its Weight 1. The layer above uses it for its own messages.
const Control ID = 0

// MaxChannels is the largest number of channels in a table, without Control.
const MaxChannels = 63

// A Mode is what a channel promises about its messages.
type Mode uint8

// The four modes.
const (
	Unreliable        Mode = iota // at most once, in any order
	Sequenced                     // at most once, and never after a newer message
	ReliableUnordered             // exactly once, in any order
	ReliableOrdered               // exactly once, in the order in which they were sent
)

func (m Mode) reliable() bool { return m >= ReliableUnordered }

func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return "mode " + strconv.Itoa(int(m))
}

var modeNames = [...]string{"unreliable", "sequenced", "reliable-unordered", "reliable-ordered"}

// A Direction says which end may send on a channel.
type Direction uint8

// The three directions.
const (
	Both Direction = iota
	ToServer
	ToClient
)

func (d Direction) String() string {
	if int(d) < len(directionNames) {
		return directionNames[d]
	}
	return "direction " + strconv.Itoa(int(d))
}

var directionNames = [...]string{"both", "to-server", "to-client"}

// A Channel is one line of the table. Name, Mode, Direction, MaxMessage, QueueLimit,
// Compress and Schema must be the same at both ends. The other fields say how this end
// sends.
type Channel struct {
	// Name is the name of the channel in programs and errors: 1 to 64 bytes of UTF-8
	// without spaces or control characters. The names in a table differ, and none is
	// "control".
	Name string

	Mode      Mode
	Direction Direction

	// MaxMessage is the size in bytes of the largest message. Zero means 256 KiB if the
	// channel is reliable, else 16 KiB; 8 MiB is the limit.
	MaxMessage int

	// QueueLimit limits the bytes of the messages that wait to be sent or acknowledged.
	// Each message counts as its length plus 32. The receiver holds at most as many bytes.
	// Zero means 1 MiB if the channel is reliable, else 64 KiB, but always enough for one
	// message of MaxMessage; 64 MiB is the limit. If a message exceeds QueueLimit, Send
	// returns ErrBudget on a reliable channel, and drops the oldest messages on others.
	QueueLimit int

	// Compress means that messages of 512 bytes or more are compressed if that makes them
	// smaller. MaxMessage and the errors count the bytes of the program, QueueLimit those of
	// the compressed messages, each with one byte more. It needs a reliable channel. Sessions
	// compress; a Mux does so only in SendPacked.
	Compress bool

	// Schema says what the messages are, for the comparison of the tables; the channel does
	// not use it. It is a list of entries "path:type", separated by semicolons, such as
	// "tick:uint32;boxes[].x:float32": at most 8 KiB of UTF-8 without spaces or control
	// characters. Empty means that the messages are bytes. A channel that is opened at run
	// time has none.
	Schema string

	// Priority is from 0, sent first, to 7. It is strict: a channel waits as long as a
	// channel with a lower number has something to send. While channels with lower numbers
	// use the whole rate, it sends nothing. Set a Guarantee if the channel must send
	// nevertheless.
	Priority int

	// Guarantee is a rate in bytes per second that the channel gets before channels
	// without one, whatever their priorities, as far as the rate of the link allows. Zero
	// means none.
	Guarantee int

	// Weight is the channel's part of what the channels of one Priority get: a channel
	// with Weight 2 sends twice as much as one with Weight 1. Zero means 1; 1000 is the
	// limit.
	Weight int

	// Copies limits how often a reliable message of at most 512 bytes that is not
	// acknowledged is sent again in the free space of other packets. Copies are sent while
	// the link loses more than 1 % of packets. Zero means 2 to 6, depending on the loss;
	// negative means none; 16 is the limit.
	Copies int
}

// Limits of a table.
const (
	maxMessage   = 8 << 20
	maxQueue     = 64 << 20
	maxName      = 64
	maxSchema    = 8 << 10
	maxText      = 64 << 10
	maxPriority  = 7
	maxWeight    = 1000
	messageCost  = 32 // added to the length of a message where it counts against QueueLimit
	controlQueue = 256 << 10
	controlMax   = 64 << 10
)

// withDefaults returns c with its zero values replaced.
func (c Channel) withDefaults() Channel {
	message, queue := 16<<10, 64<<10
	if c.Mode.reliable() {
		message, queue = 256<<10, 1<<20
	}
	if c.MaxMessage == 0 {
		c.MaxMessage = message
	}
	if c.QueueLimit == 0 {
		c.QueueLimit = max(queue, c.maxWire()+messageCost)
	}
	if c.Weight == 0 {
		c.Weight = 1
	}
	return c
}

var controlChannel = Channel{Name: "control", Mode: ReliableOrdered, MaxMessage: controlMax, QueueLimit: controlQueue, Weight: 1}

// Channels is a table of channels. The ID of a channel is its index plus one. In a table of
// [Mux.Channels] an element without a name is a number that no channel has.
type Channels []Channel

// WithDefaults returns a copy of the table with the defaults in place of zero values.
func (cs Channels) WithDefaults() Channels {
	explicit := make(Channels, len(cs))
	for i := range cs {
		explicit[i] = cs[i].withDefaults()
	}
	return explicit
}

// ID returns the number of the channel with a name, and false if there is none.
func (cs Channels) ID(name string) (ID, bool) {
	for i := range cs {
		if cs[i].Name == name && name != "" {
			return ID(i + 1), true
		}
	}
	return 0, false
}

// Name returns the name of a channel, or the empty string if the table has no such
// channel. The name of Control is "control".
func (cs Channels) Name(id ID) string {
	if id == Control {
		return controlChannel.Name
	}
	if int(id) > len(cs) {
		return ""
	}
	return cs[id-1].Name
}

// admits returns nil if the table stays valid when a channel is added under the number
// id, else a *TableError. twice says that another channel may have the name.
func (cs Channels) admits(id ID, c Channel, twice bool) error {
	label := c.Name
	if label == "" {
		label = "#" + strconv.Itoa(int(id))
	}
	if field, problem := c.check(); problem != "" {
		return &TableError{Channel: label, Field: field, Problem: problem}
	}
	switch _, taken := cs.ID(c.Name); {
	case taken && !twice || c.Name == controlChannel.Name:
		return &TableError{Channel: label, Field: "Name", Problem: problemName}
	case c.Schema != "":
		return &TableError{Channel: label, Field: "Schema", Problem: "a channel that is opened at run time has none"}
	case id == Control || id > MaxChannels:
		return &TableError{Channel: label, Field: "table", Problem: problemFull}
	case int(id) <= len(cs) && cs[id-1].Name != "":
		return &TableError{Channel: label, Field: "number", Problem: "the number is taken"}
	}
	return nil
}

const (
	problemFull = "a table has at most 63 channels"
	problemName = "the name is taken; names must differ"

	problemSchema = "use at most 8 KiB of UTF-8 without spaces or control characters"
)

// Validate returns nil if the table is valid, else a *TableError that says what is wrong.
func (cs Channels) Validate() error {
	if len(cs) > MaxChannels {
		return &TableError{Channel: "#64", Field: "table", Problem: problemFull}
	}
	for i := range cs {
		if field, problem := cs[i].check(); problem != "" {
			return &TableError{Channel: label(cs, i), Field: field, Problem: problem}
		}
		if id, _ := cs.ID(cs[i].Name); int(id) != i+1 || cs[i].Name == controlChannel.Name {
			return &TableError{Channel: cs[i].Name, Field: "Name", Problem: problemName}
		}
	}
	return nil
}

func label(cs Channels, i int) string {
	if cs[i].Name == "" {
		return "#" + strconv.Itoa(i+1)
	}
	return cs[i].Name
}

func (c Channel) check() (field, problem string) {
	d := c.withDefaults()
	switch {
	case !validName(c.Name):
		return "Name", "use 1 to 64 bytes of UTF-8 without spaces or control characters"
	case c.Mode > ReliableOrdered:
		return "Mode", "unknown"
	case c.Direction > ToClient:
		return "Direction", "unknown"
	case c.MaxMessage < 0 || c.maxWire() > maxMessage:
		return "MaxMessage", "use 0 for the default, or up to 8 MiB, or a byte less with Compress"
	case c.QueueLimit > maxQueue:
		return "QueueLimit", "use 0 for the default, or up to 64 MiB"
	case d.QueueLimit < d.maxWire()+messageCost:
		return "QueueLimit", "too small for one message of MaxMessage and 32 bytes, or 33 with Compress"
	case c.Priority < 0 || c.Priority > maxPriority:
		return "Priority", "use 0, sent first, to 7"
	case c.Guarantee < 0:
		return "Guarantee", "use 0 for none, or bytes per second"
	case c.Weight < 0 || c.Weight > maxWeight:
		return "Weight", "use 0 for 1, or up to 1000"
	case c.Compress && !c.Mode.reliable():
		return "Compress", "use a reliable channel"
	case len(c.Schema) > maxSchema || !plain(c.Schema):
		return "Schema", problemSchema
	case c.Copies > 16:
		return "Copies", "use 0 for the default, up to 16, or -1 for none"
	}
	return "", ""
}

func validName(s string) bool {
	return s != "" && len(s) <= maxName && plain(s)
}

// plain reports whether s is UTF-8 without spaces and control characters.
func plain(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r <= ' ' || r == 0x7f {
			return false
		}
	}
	return true
}

// AppendLine appends the channel's line of the text of a Table, without the newline.
func (c Channel) AppendLine(b []byte, id ID) []byte {
	return c.appendRest(c.appendFields(b, id))
}

func (c Channel) appendFields(b []byte, id ID) []byte {
	c = c.withDefaults()
	return fmt.Appendf(b, "%d %s %s %s %d %d", id, c.Name, c.Mode, c.Direction, c.MaxMessage, c.QueueLimit)
}

// appendRest appends the end of a line, which most channels do not have.
func (c Channel) appendRest(b []byte) []byte {
	if c.Compress {
		b = append(b, compressMark...)
	}
	if c.Schema != "" {
		b = append(append(b, schemaMark...), c.Schema...)
	}
	return b
}

const (
	compressMark = " deflate"
	schemaMark   = " ="
)

// maxGuarantee is the largest Guarantee in a line. A larger one has the same effect.
const maxGuarantee = 1<<31 - 1

// AppendOpenLine is AppendLine with the values with which the peer sends on the channel
// after the six fields that every line has: priority, guarantee and weight.
func (c Channel) AppendOpenLine(b []byte, id ID) []byte {
	d := c.withDefaults()
	b = fmt.Appendf(c.appendFields(b, id), " %d %d %d", d.Priority, min(d.Guarantee, maxGuarantee), d.Weight)
	return c.appendRest(b)
}

// parseFields reads a line of AppendLine, and with sending one of AppendOpenLine. It does
// not check the limits.
func parseFields(line string, id ID, sending bool) (Channel, bool) {
	line, schema, typed := strings.Cut(line, schemaMark)
	line, compress := strings.CutSuffix(line, compressMark)
	f := strings.Split(line, " ")
	if typed && schema == "" || len(f) < 6 || f[0] != strconv.Itoa(int(id)) {
		return Channel{}, false
	}
	c := Channel{Name: f[1], Mode: Mode(index(modeNames[:], f[2])), Direction: Direction(index(directionNames[:], f[3])), Compress: compress, Schema: schema}
	ok := parseNumber(f[4], &c.MaxMessage) && parseNumber(f[5], &c.QueueLimit) &&
		c.MaxMessage != 0 && c.QueueLimit != 0 // zero is not written: it stands for the default
	if sending && len(f) > 6 {
		return c, ok && c.parseSending(f[6:])
	}
	return c, ok && len(f) == 6
}

// parseNumber reads a number of 32 bits. It returns false if s is not the decimal form of
// such a number.
func parseNumber(s string, v *int) bool {
	n, _ := strconv.ParseInt(s, 10, 32) // with an error, the decimal form of n is not s
	*v = int(n)
	return strconv.Itoa(*v) == s
}

// ParseChannel reads a line of AppendLine or AppendOpenLine. It returns false if the line
// is malformed, exceeds a limit, or has another number than id.
func ParseChannel(line string, id ID) (Channel, bool) {
	c, ok := parseFields(line, id, true)
	if !ok {
		return Channel{}, false
	}
	_, problem := c.check()
	return c, problem == ""
}

// parseSending reads the three fields that AppendOpenLine adds.
func (c *Channel) parseSending(f []string) bool {
	return len(f) == 3 && parseNumber(f[0], &c.Priority) && parseNumber(f[1], &c.Guarantee) && parseNumber(f[2], &c.Weight) && c.Weight != 0
}

func index(names []string, s string) int {
	for i, n := range names {
		if n == s {
			return i
		}
	}
	return len(names) // Validate refuses it
}

// MaxHeld returns the number of bytes of messages that a peer can make this end hold: the
// sum of the QueueLimits of the channels on which the peer may send, Control included.
// server says that this end is the server's. The sizes of buffers are powers of two, so
// the memory is up to twice as large. Many small messages, and numbers far ahead, take up
// to 384 KiB more for each reliable channel.
func (cs Channels) MaxHeld(server bool) int {
	n := controlQueue
	for i := range cs {
		if c := cs[i].withDefaults(); c.Direction.allows(!server) {
			n += c.QueueLimit
		}
	}
	return n
}

// allows reports whether the server, or the client, may send in direction d.
func (d Direction) allows(server bool) bool {
	return d == Both || (d == ToClient) == server
}
