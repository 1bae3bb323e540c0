package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// network is the network to a server: a proxy for each route of a fault, and one
// without toxics.
type network struct {
	fault   fault
	proxies []*toxiproxy.Proxy // of the routes, then the one without toxics
	listen  []string           // their addresses
	turn    int                // attempts in each turn of the fault

	mu      sync.Mutex
	draws   *rand.Rand
	dialled int
	open    int
	peak    int // the most that were open at once

	turning  sync.Mutex
	attempts int // in this turn
	faulty   bool
}

func newNetwork(t *testing.T, f fault, upstream string, draws *rand.Rand, turn int) *network {
	t.Helper()
	n := &network{fault: f, draws: draws, turn: turn}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	for i, r := range append(f.routes, route{}) {
		proxy := toxiproxy.NewProxy(server, fmt.Sprint("route ", i), "127.0.0.1:0", upstream)
		for _, text := range r.toxics {
			// Before the start: adding a toxic to connections in use may hang if one
			// of them has just failed.
			if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := proxy.Start(); err != nil {
			t.Fatal(err)
		}
		n.proxies = append(n.proxies, proxy)
		n.listen = append(n.listen, proxy.Listen)
	}
	return n
}

// stop takes the network down, with all its connections.
func (n *network) stop() {
	for _, proxy := range n.proxies {
		proxy.Stop()
	}
}

func (n *network) start() error {
	for _, proxy := range n.proxies {
		if err := proxy.Start(); err != nil {
			return err
		}
	}
	return nil
}

// attempted counts an attempt, and begins the next turn of the fault when it is
// due.
func (n *network) attempted() error {
	if !n.fault.downInTurn && n.fault.toxicInTurn == "" {
		return nil
	}
	n.turning.Lock()
	defer n.turning.Unlock()
	n.attempts++
	if n.attempts < n.turn || !n.faulty && n.attempts < 3*n.turn {
		return nil
	}
	n.attempts = 0
	n.faulty = !n.faulty
	switch {
	case n.fault.downInTurn && n.faulty:
		n.stop()
		return nil
	case n.fault.downInTurn:
		return n.start()
	case n.faulty:
		_, err := n.proxies[0].Toxics.AddToxicJson(strings.NewReader(n.fault.toxicInTurn))
		return err
	default:
		n.proxies[0].Toxics.ResetToxics(context.Background())
		return nil
	}
}

// dial connects over one of the routes.
func (n *network) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, n.route())
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open++
	n.peak = max(n.peak, n.open)
	return &connection{Conn: conn, closed: sync.OnceFunc(n.closed)}, nil
}

// route picks a random route and returns its address. The first connections take
// each route once, so that no fault is left out.
func (n *network) route() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dialled++
	if n.dialled <= len(n.listen) {
		return n.listen[n.dialled-1]
	}
	draw := n.draws.Float64()
	for i, r := range n.fault.routes {
		if draw < r.share {
			return n.listen[i]
		}
		draw -= r.share
	}
	return n.listen[len(n.listen)-1]
}

func (n *network) openNow() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open
}

func (n *network) closed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open--
}

// connection is one that counts as open until it is closed.
type connection struct {
	net.Conn
	closed func()
}

func (c *connection) Close() error {
	c.closed()
	return c.Conn.Close()
}
