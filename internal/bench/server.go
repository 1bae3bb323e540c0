package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
)

// serverArgument starts this program as the server.
const serverArgument = "serve"

// addresses is what the server's process prints when it listens.
type addresses struct {
	HTTP, HTTPS string
	Certificate []byte // DER
}

// serve serves on two ports until in ends, which it also does when the client dies.
func serve(in io.Reader, out io.Writer) error {
	plain, secure := httptest.NewServer(http.HandlerFunc(respond)), newTLSServer()
	defer plain.Close()
	defer secure.Close()
	err := json.NewEncoder(out).Encode(addresses{
		HTTP:        plain.URL,
		HTTPS:       secure.URL,
		Certificate: secure.Certificate().Raw,
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

func newTLSServer() *httptest.Server {
	server := httptest.NewUnstartedServer(http.HandlerFunc(respond))
	server.EnableHTTP2 = true
	// A client that opens more connections than it needs aborts handshakes.
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	return server
}

func respond(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, responseTo(r.Method))
}

// server is the server's process.
type server struct {
	endpoints map[string]endpoint // by network
	process   *exec.Cmd
	in        io.Closer
}

func startServer() (*server, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	process := exec.Command(path, serverArgument)
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
	s := &server{process: process, in: in}
	var a addresses
	if err := json.NewDecoder(out).Decode(&a); err != nil {
		return nil, errors.Join(fmt.Errorf("start the server: %w", err), s.stop())
	}
	certificate, err := x509.ParseCertificate(a.Certificate)
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	s.endpoints = map[string]endpoint{
		inMemory: {url: "http://127.0.0.1", transport: memory{}},
		http1:    {url: a.HTTP},
		http2:    {url: a.HTTPS, tls: &tls.Config{RootCAs: roots}},
	}
	return s, nil
}

// stop ends the process, which reads its standard input to the end.
func (s *server) stop() error {
	return errors.Join(s.in.Close(), s.process.Wait())
}
