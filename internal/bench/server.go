package main

import (
	"bufio"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
)

// The server runs in its own process, so that its work is not counted as the
// client's. It reads one command per line, and responds to each with a line of
// JSON. For each run it listens on a new port, so that it counts only the
// connections of that run, and closed ones of other runs take no ports from it.

const (
	http1 = "HTTP/1.1"
	http2 = "TLS, HTTP/2"
)

// listening is the response to "HTTP/1.1" and the other commands that listen.
type listening struct {
	URL         string
	Certificate string // PEM, of a server with TLS
}

// served is the response to "close".
type served struct {
	Connections, Requests int
	Log                   []request // if the command asked for one
}

// request is a request as it was received.
type request struct {
	Method, Path, Proto string
	Header              http.Header
	Body                string
}

const withLog = " log"

// serve is the server's process.
func serve(in io.Reader, out io.Writer) error {
	response := json.NewEncoder(out)
	var current *counted
	commands := bufio.NewScanner(in)
	for commands.Scan() {
		command, keepsLog := strings.CutSuffix(commands.Text(), withLog)
		var err error
		switch command {
		case http1, http2:
			current = listen(command, keepsLog)
			err = response.Encode(current.listening())
		case "close":
			err = response.Encode(current.close())
		default:
			err = fmt.Errorf("no such command: %q", command)
		}
		if err != nil {
			return err
		}
	}
	return commands.Err()
}

// counted is a server that counts connections and requests.
type counted struct {
	server                *httptest.Server
	connections, requests atomic.Int64

	mu  sync.Mutex
	log []request
}

func listen(network string, keepsLog bool) *counted {
	c := new(counted)
	c.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.requests.Add(1)
		if keepsLog {
			c.keep(r)
		} else if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		w.Header()["Content-Type"] = []string{"application/json"}
		_, _ = io.WriteString(w, success)
	}))
	// A client that has opened more connections than it needs leaves some of them
	// in the middle of a handshake.
	c.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			c.connections.Add(1)
		}
	}
	if network == http1 {
		c.server.Start()
		return c
	}
	c.server.EnableHTTP2 = true
	c.server.StartTLS()
	return c
}

func (c *counted) keep(r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, request{r.Method, r.URL.EscapedPath(), r.Proto, r.Header, string(body)})
}

func (c *counted) listening() listening {
	l := listening{URL: c.server.URL}
	if certificate := c.server.Certificate(); certificate != nil {
		l.Certificate = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}))
	}
	return l
}

func (c *counted) close() served {
	c.server.CloseClientConnections()
	c.server.Close()
	return served{int(c.connections.Load()), int(c.requests.Load()), c.log}
}

// server is the server's process as the client sees it.
type server struct {
	process *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
}

func startServer() (*server, error) {
	process, err := self(serverRole)
	if err != nil {
		return nil, err
	}
	process.Stderr = os.Stderr
	in, err := process.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, err
	}
	return &server{process, in, json.NewDecoder(out)}, nil
}

// stop ends the process: it has nothing more to read.
func (s *server) stop() error {
	if err := s.in.Close(); err != nil {
		return err
	}
	return s.process.Wait()
}

func (s *server) do(command string, response any) error {
	if _, err := fmt.Fprintln(s.in, command); err != nil {
		return err
	}
	return s.out.Decode(response)
}

func (s *server) listen(network string) (l listening, err error) {
	err = s.do(network, &l)
	return l, err
}

func (s *server) close() (c served, err error) {
	err = s.do("close", &c)
	return c, err
}
