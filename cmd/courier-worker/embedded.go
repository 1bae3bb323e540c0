package main

import (
	"errors"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startNATS starts a nats-server with JetStream in this process, on 127.0.0.1.
// The caller must stop it.
func startNATS(storeDir string, port int) (*server.Server, error) {
	nats, err := server.NewServer(&server.Options{
		Host:      "127.0.0.1",
		Port:      port,
		JetStream: true,
		StoreDir:  storeDir,
		NoLog:     true,
		NoSigs:    true,
	})
	if err != nil {
		return nil, err
	}
	nats.Start()
	if !nats.ReadyForConnections(10 * time.Second) {
		stopNATS(nats)
		return nil, errors.New("the embedded nats-server did not start")
	}
	return nats, nil
}

func stopNATS(nats *server.Server) {
	nats.Shutdown()
	nats.WaitForShutdown()
}
