package chaos

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// faultShare is how often the server fails, for each of its faults.
const faultShare = 0.05

var serverFaults = []couriertest.Fault{
	{Status: http.StatusTooManyRequests},
	{Status: http.StatusInternalServerError},
	{Status: http.StatusBadGateway},
	{Status: http.StatusServiceUnavailable, RetryAfter: "0.01"},
	{CutOff: true},
}

// server is the Profiles API with faults.
type server struct {
	*httptest.Server
	api *couriertest.Handler
	ok  bool // it does not fail

	// How often it closes a connection after a response, in each of two ways, as
	// load balancers do.
	closeShare float64

	seen map[string]*seenUser

	mu    sync.Mutex
	draws *rand.Rand
}

// seenUser is what the server knows of a user.
type seenUser struct {
	mu   sync.Mutex // one request at a time
	seq  int        // of the last update that was carried out
	late int        // updates carried out after a later one
}

func newServer(http2, ok bool, users []*user, draws *rand.Rand) *server {
	s := &server{api: couriertest.NewHandler(), ok: ok, draws: draws, seen: make(map[string]*seenUser)}
	s.api.MaxRequests = -1
	s.closeShare = 0.05
	if http2 {
		s.closeShare = 0.4 / float64(len(users)) // all share a connection
	}
	for _, u := range users {
		s.seen[u.id] = new(seenUser)
	}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = s.connState
	if s.EnableHTTP2 = http2; http2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	return s
}

// tlsConfig trusts the server; it is nil without TLS.
func (s *server) tlsConfig() *tls.Config {
	return s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
}

// connState closes some connections without notice when they become idle.
func (s *server) connState(conn net.Conn, state http.ConnState) {
	if state == http.StateIdle && !s.ok && s.draw() < s.closeShare {
		_ = conn.Close()
	}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // nobody waits for a response
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var fault couriertest.Fault
	if !s.ok {
		if s.draw() < s.closeShare {
			w.Header().Set("Connection", "close")
		}
		if i := int(s.draw() / faultShare); i < len(serverFaults) {
			fault = serverFaults[i]
		}
	}
	userID := strings.TrimPrefix(r.URL.Path, "/profiles/")
	seen := s.seen[userID]
	seen.mu.Lock()
	defer seen.mu.Unlock()
	defer s.look(userID, seen)
	// Each request adds a fault and takes one, not always its own.
	s.api.Fail(fault)
	s.api.ServeHTTP(w, r)
}

func (s *server) draw() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draws.Float64()
}

// look records which update was carried out last.
func (s *server) look(userID string, seen *seenUser) {
	profile, _ := s.api.Profile(userID)
	seq := number(profile.Custom.Or(nil)["seq"])
	if seq < seen.seq {
		seen.late++
	}
	seen.seq = seq
}

// number returns a number of a profile that was read, or 0.
func number(value any) int {
	digits, _ := value.(json.Number)
	n, _ := digits.Int64()
	return int(n)
}

// late returns how many updates were carried out after a later one of the same
// user.
func (s *server) late() int {
	late := 0
	for _, seen := range s.seen {
		late += seen.late
	}
	return late
}

// custom returns what is stored in a profile's custom.
func (s *server) custom(userID string) map[string]any {
	profile, _ := s.api.Profile(userID)
	return profile.Custom.Or(nil)
}

// members is how many members the updates change in turn.
const members = 5

// update returns a user's n-th update. Each changes the number, a text of up to
// 1,500 bytes, and one member of five, so that a missing one is noticed.
func update(n int) courier.Profile {
	return courier.Profile{Custom: courier.Set(map[string]any{
		"seq":     n,
		"text":    strings.Repeat("x", n*397%1500),
		member(n): n,
	})}
}

func member(n int) string { return fmt.Sprint("member ", n%members) }
