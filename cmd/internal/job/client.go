package job

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/couriertest"
)

// ErrNoKey is the error of NewClient if the environment holds no API key.
var ErrNoKey = errors.New(
	"there is no API key: set COURIER_API_KEY to the one of your Courier workspace")

// Client is a client and what a program tells about it.
type Client struct {
	*courier.Client
	// Destination is where requests go, for people: a URL, or "an in-memory fake".
	Destination string
	// Fake is the fake that requests go to. It is nil if they go to Courier.
	Fake *couriertest.Handler

	retries atomic.Int64
	server  *http.Server
	served  chan struct{}
}

// NewClient returns the client that the environment describes, or with fake set one
// whose requests go to an in-memory fake on the loopback interface. The caller must
// close it.
func NewClient(fake bool, opts ...courier.Option) (*Client, error) {
	c := &Client{}
	opts = append([]courier.Option{courier.WithObserver(c.observe)}, opts...)
	if fake {
		if err := c.startFake(opts); err != nil {
			return nil, err
		}
		return c, nil
	}
	if os.Getenv("COURIER_API_KEY") == "" && os.Getenv("COURIER_AUTH_TOKEN") == "" {
		return nil, ErrNoKey
	}
	client, err := courier.NewClientFromEnv(opts...)
	if err != nil {
		return nil, err
	}
	c.Client = client
	c.Destination = cmp.Or(os.Getenv("COURIER_BASE_URL"), courier.DefaultBaseURL)
	return c, nil
}

func (c *Client) startFake(opts []courier.Option) error {
	c.Destination, c.Fake = "an in-memory fake", couriertest.NewHandler()
	c.Fake.MaxRequests = -1 // nobody asks for them
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c.server = &http.Server{Handler: c.Fake, ReadHeaderTimeout: 5 * time.Second}
	c.served = make(chan struct{})
	go func() {
		defer close(c.served)
		_ = c.server.Serve(listener) // ends with Close
	}()
	opts = append(opts, courier.WithBaseURL("http://"+listener.Addr().String()))
	c.Client, err = courier.NewClient(c.Fake.APIKey, opts...)
	if err != nil {
		c.Close()
	}
	return err
}

func (c *Client) observe(_ context.Context, attempt courier.Attempt) {
	if attempt.Number > 1 {
		c.retries.Add(1)
	}
}

// Retries returns how many requests were retries.
func (c *Client) Retries() int64 { return c.retries.Load() }

// Close closes connections and ends the fake.
func (c *Client) Close() {
	if c.Client != nil {
		c.CloseIdleConnections()
	}
	if c.server != nil {
		_ = c.server.Close()
		<-c.served
	}
}
