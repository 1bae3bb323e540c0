package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
)

const (
	inMemory = "in memory"
	http1    = "HTTP/1.1"
	http2    = "TLS, HTTP/2"

	serveArgument = "serve" // makes this program the server
)

// getText is the response to a get, as people read it, and getJSON as Courier sends it.
//
//go:embed get.json
var getText []byte

var getJSON = compact(getText)

func compact(text []byte) string {
	var b bytes.Buffer
	check("get.json", json.Compact(&b, text))
	return b.String()
}

func responseTo(req *http.Request) string {
	if req.Method == http.MethodGet {
		return getJSON
	}
	return `{"status":"SUCCESS"}`
}

// memory is a transport that responds without a network.
type memory struct{}

func (memory) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(responseTo(req))),
		Request:    req,
	}, nil
}

// serve prints the URLs of two servers, and returns when its standard input ends, which it
// also does when the process that measures dies.
func serve() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, responseTo(req))
	})
	plain := httptest.NewServer(handler)
	secure := httptest.NewUnstartedServer(handler)
	secure.EnableHTTP2 = true
	// A client that opens more connections than it needs aborts handshakes.
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	fmt.Println(plain.URL, secure.URL)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// startServer runs serve in another process, until in is closed. The URLs are by network.
func startServer() (urls map[string]string, in io.Closer) {
	process := exec.Command(os.Args[0], serveArgument)
	process.Stderr = os.Stderr
	in, err := process.StdinPipe()
	check("start the server", err)
	out, err := process.StdoutPipe()
	check("start the server", err)
	check("start the server", process.Start())
	var plain, secure string
	_, err = fmt.Fscan(out, &plain, &secure)
	check("start the server", err)
	return map[string]string{inMemory: "http://127.0.0.1", http1: plain, http2: secure}, in
}
