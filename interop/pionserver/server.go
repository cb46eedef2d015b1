package pionserver

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
)

// Config configures a Server. The zero value serves.
type Config struct {
	// Public is the address in the answer's candidate, such as a relay's. Zero
	// means the address the server listens on.
	Public netip.AddrPort

	// Negotiated lists the streams of channels the page opens with negotiated:
	// true; pion must know them beforehand.
	Negotiated []uint16

	// SNAP answers an offer that has the INIT of SCTP with that of pion.
	SNAP bool

	// KeyLog gets the keys of every handshake, for tshark. It may be nil.
	KeyLog io.Writer

	Handler Handler
}

// Handler has the funcs that are called for events. A func may be nil. Different channels
// call them concurrently.
type Handler struct {
	Open    func(c *Conn) // the handshake is over
	Message func(c *Conn, m Message)
	Close   func(c *Conn, reason string)
}

// Message is a message that has arrived. Data is valid during the call.
type Message struct {
	Stream          uint16
	Label, Protocol string
	Text            bool
	Data            []byte
}

// Server serves browsers on one UDP port.
type Server struct {
	config Config
	udp    *net.UDPConn
	api    *webrtc.API

	mu    sync.Mutex
	conns map[*Conn]struct{}
}

// Listen serves on addr, which must not be a wildcard: pion puts it into its answers as it is.
func Listen(addr string, config Config) (*Server, error) {
	at, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	udp, err := net.ListenUDP("udp", at)
	if err != nil {
		return nil, err
	}
	silent := &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
	var e webrtc.SettingEngine
	e.LoggerFactory = silent
	e.SetLite(true)
	e.DetachDataChannels()
	e.SetICEUDPMux(webrtc.NewICEUDPMux(silent.NewLogger("ice"), udp))
	e.SetIncludeLoopbackCandidate(true)
	e.EnableSctpSnap(config.SNAP)
	if config.KeyLog != nil {
		e.SetDTLSKeyLogWriter(config.KeyLog)
	}
	return &Server{
		config: config,
		udp:    udp,
		api:    webrtc.NewAPI(webrtc.WithSettingEngine(e)),
		conns:  make(map[*Conn]struct{}),
	}, nil
}

// Addr returns the UDP address.
func (s *Server) Addr() netip.AddrPort {
	return s.udp.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Close closes all connections and the port.
func (s *Server) Close() error {
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	for c := range conns {
		c.end("server closed")
	}
	return s.udp.Close()
}

// ServeHTTP answers a raw SDP offer with {"answer": …, "candidate": …}.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	offer, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<10))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, err := s.accept(string(offer))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(answer)
}

// session is the answer of the signaling.
type session struct {
	Answer    webrtc.SessionDescription `json:"answer"`
	Candidate webrtc.ICECandidateInit   `json:"candidate"`
}

func (s *Server) accept(offer string) (session, error) {
	pc, err := s.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return session{}, err
	}
	c := &Conn{server: s, pc: pc, channels: make(map[uint16]*channel)}
	answer, err := c.negotiate(offer)
	if err != nil {
		pc.Close()
		return session{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		pc.Close()
		return session{}, net.ErrClosed
	}
	s.conns[c] = struct{}{}
	return s.announce(answer), nil
}

// announce replaces the candidates of pion by the public address.
func (s *Server) announce(answer webrtc.SessionDescription) session {
	public := s.config.Public
	if !public.IsValid() {
		public = s.Addr()
	}
	candidate := fmt.Sprintf("candidate:1 1 udp 2130706431 %s %d typ host", public.Addr(), public.Port())
	var sdp strings.Builder
	mid := ""
	for line := range strings.Lines(answer.SDP) {
		if strings.HasPrefix(line, "a=candidate:") || strings.HasPrefix(line, "a=end-of-candidates") {
			continue
		}
		if m, ok := strings.CutPrefix(line, "a=mid:"); ok {
			mid = strings.TrimSpace(m)
		}
		sdp.WriteString(line)
	}
	answer.SDP = sdp.String() + "a=" + candidate + "\r\na=end-of-candidates\r\n"
	return session{
		Answer:    answer,
		Candidate: webrtc.ICECandidateInit{Candidate: candidate, SDPMid: &mid, SDPMLineIndex: new(uint16)},
	}
}
