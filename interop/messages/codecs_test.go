package messages

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/typed"
)

// MessagePack is a message of type T in MessagePack.
type MessagePack[T any] struct{ Value T }

func (m MessagePack[T]) AppendBinary(b []byte) ([]byte, error) {
	text, err := msgpack.Marshal(m.Value)
	return append(b, text...), err
}

func (m *MessagePack[T]) UnmarshalBinary(b []byte) error {
	m.Value = *new(T)
	r := bytes.NewReader(b)
	if err := msgpack.NewDecoder(r).Decode(&m.Value); err != nil {
		return err
	}
	if r.Len() > 0 {
		return errors.New("bytes behind the message")
	}
	return nil
}

// Protobuf is a message of protobuf, whose type in Go is T.
type Protobuf[T any, P interface {
	*T
	proto.Message
}] struct{ Value P }

func (m Protobuf[T, P]) AppendBinary(b []byte) ([]byte, error) {
	return proto.MarshalOptions{}.MarshalAppend(b, m.Value)
}

func (m *Protobuf[T, P]) UnmarshalBinary(b []byte) error {
	m.Value = new(T)
	return proto.Unmarshal(b, m.Value)
}

type State struct {
	Tick  uint32    `msgpack:"tick"`
	Names []string  `msgpack:"names"`
	At    []float64 `msgpack:"at"`
}

type Game struct {
	State typed.Both[MessagePack[State]]                          `godwit:"reliable-ordered"`
	Extra typed.Both[Protobuf[structpb.Struct, *structpb.Struct]] `godwit:"reliable-ordered"`
}

// TestCodecs runs codecs.mjs, which gets its own messages back from a server that decodes them and encodes them again.
func TestCodecs(t *testing.T) {
	if _, err := os.Stat("node_modules"); err != nil {
		t.Skip("no node_modules: ./test browsers, or npm ci in interop/messages, installs the formats of the page")
	}
	game := typed.Must[Game]()
	config, err := typed.Server(game, godwit.Config{},
		game.State.OnServer(func(c *godwit.Conn, m MessagePack[State]) {
			game.State.Send(c, m)
		}),
		game.Extra.OnServer(func(c *godwit.Conn, m Protobuf[structpb.Struct, *structpb.Struct]) {
			m.Value.Fields["seen"] = structpb.NewBoolValue(true)
			game.Extra.Send(c, m)
		}))
	if err != nil {
		t.Fatal(err)
	}
	server, err := godwit.Listen("127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()
	out, err := exec.Command("node", "--experimental-websocket", "--no-warnings", "codecs.mjs", web.URL).CombinedOutput()
	want := `{"tick":7,"names":["ada","grüß"],"at":[0.5,-1]}
{"name":"ada","score":3,"seen":true}
`
	if err != nil || string(out) != want {
		t.Errorf("%v:\n%s, want\n%s", err, out, want)
	}
}

// TestPageOfCodecs finds the code of docs/codecs.md in the files that TestCodecs runs.
func TestPageOfCodecs(t *testing.T) {
	page, err := os.ReadFile("../../docs/codecs.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```(go|js)\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) == 0 {
		t.Fatal("the page has no code")
	}
	for _, b := range blocks {
		file := map[string]string{"go": "codecs_test.go", "js": "codecs.mjs"}[b[1]]
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), b[2]) {
			t.Errorf("%s does not have\n%s", file, b[2])
		}
	}
}
