package courier

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/courier-profiles/courier-go/internal/transport"
)

const (
	// DefaultBaseURL is the base URL of Courier's API.
	DefaultBaseURL = "https://api.courier.com"
	// EUBaseURL is the base URL of the same API for workspaces in the EU.
	EUBaseURL = "https://api.eu.courier.com"
	// Version is the version of this package.
	Version = "0.3.0"
)

const userAgent = "courier-profiles-go/" + Version

// Client is a client of the Courier Profiles API. It is immutable and safe for
// concurrent use: create one with [NewClient] and share it. The zero value is not usable.
// A call leaves no goroutine behind, except net/http's own, for its connections.
type Client struct {
	// Profiles has the operations on profiles.
	Profiles *ProfilesService

	// fmt prints every field by reflection, but neither what a func captures nor what
	// is behind a pointer.
	base      *url.URL
	log       logFunc
	observer  func(context.Context, Attempt)
	apiKey    func() string
	header    func(body bool) http.Header // shared by calls; each attempt has a copy
	transport *transport.Transport
}

// NewClient returns a client for the workspace that apiKey belongs to. It uses neither
// the network nor the environment; only the default pool later asks the environment for
// a proxy ([NewTransport]). The error is a [*ValidationError].
func NewClient(apiKey string, opts ...Option) (*Client, error) {
	if err := checkAPIKey("apiKey", apiKey); err != nil {
		return nil, err
	}
	config := defaultConfig()
	for _, opt := range opts {
		if opt == nil {
			return nil, invalid("opts", nilOption)
		}
		if err := opt(config); err != nil {
			return nil, err
		}
	}
	base, err := parseBaseURL(config)
	if err != nil {
		return nil, err
	}
	client := &Client{
		base:      base,
		log:       config.log,
		observer:  config.observer,
		apiKey:    func() string { return apiKey },
		header:    headerFunc(apiKey, config.userAgent),
		transport: transport.New(transportConfig(config)),
	}
	client.Profiles = &ProfilesService{client: client, Lists: &ListsService{client: client}}
	return client, nil
}

func transportConfig(config *config) transport.Config {
	t := config.transport
	httpClient := config.httpClient
	if httpClient == nil {
		pool := transport.NewPool()
		t.Base = func() http.RoundTripper { return pool }
		return t
	}
	// Looked up for each attempt, because mocks are activated on a client in use.
	t.Base = func() http.RoundTripper { return httpClient.Transport }
	timeout := httpClient.Timeout
	if timeout > 0 && (t.Timeout == 0 || timeout < t.Timeout) {
		t.Timeout = timeout
	}
	return t
}

// headerFunc returns a func that returns the header of requests with or without a body.
func headerFunc(apiKey, userAgent string) func(body bool) http.Header {
	json := []string{"application/json"}
	read := http.Header{
		"Accept":        json,
		"Authorization": {"Bearer " + apiKey},
		"User-Agent":    {userAgent},
	}
	write := maps.Clone(read)
	write["Content-Type"] = json
	return func(body bool) http.Header {
		if body {
			return write
		}
		return read
	}
}

// NewClientFromEnv is [NewClient] with the API key from the environment variable
// COURIER_API_KEY, or else COURIER_AUTH_TOKEN, and the base URL from COURIER_BASE_URL
// if that is set. Options override the environment. The error is a [*ValidationError].
func NewClientFromEnv(opts ...Option) (*Client, error) {
	name, key := "COURIER_API_KEY", os.Getenv("COURIER_API_KEY")
	if key == "" {
		name, key = "COURIER_AUTH_TOKEN", os.Getenv("COURIER_AUTH_TOKEN")
	}
	if key == "" {
		return nil, invalid("COURIER_API_KEY", "neither COURIER_API_KEY nor COURIER_AUTH_TOKEN "+
			"is set: set one to the API key of your Courier workspace")
	}
	if err := checkAPIKey(name, key); err != nil {
		return nil, err
	}
	fromEnv := func(c *config) error {
		if baseURL := os.Getenv("COURIER_BASE_URL"); baseURL != "" {
			c.baseURL, c.baseURLFrom = baseURL, "COURIER_BASE_URL"
		}
		return nil
	}
	return NewClient(key, append([]Option{fromEnv}, opts...)...)
}

// NewTransport returns a new connection pool with the settings that a client has by
// default. Change its fields (TLSClientConfig, Proxy) before its first use, wrap it
// (tracing), or share it between clients, and pass it to [WithHTTPClient].
//
// It keeps up to 1,024 idle connections per host for 90 s, and uses the proxy of the
// environment ([http.ProxyFromEnvironment]) and HTTP/2 where the server speaks it. Dialing
// and the TLS handshake may take 10 s each. An HTTP/2 connection that is silent for 3 s is
// sent a ping, and closed 2 s later without a response.
func NewTransport() *http.Transport { return transport.NewPool() }

// CloseIdleConnections closes the connections of the client's pool that no call is
// using. With [WithHTTPClient] it does so if the Transport has a method of that name.
func (client *Client) CloseIdleConnections() { client.transport.CloseIdleConnections() }

// operation is what all calls of one method have in common.
type operation struct {
	name           string // for errors, logs, and metrics
	method         string
	suffix         string // of the path, after the user ID
	policy         transport.Policy
	takesKey       bool // accepts an idempotency key
	expectsMissing bool // a 404 is a normal outcome
}

// call is what one call sends.
type call struct {
	op     *operation
	userID string
	query  string
	body   []byte // nil for none

	// For bulk work; see transport.Request.
	before func(context.Context) error
	after  func(*transport.Exchange)
}

// resultReader is what a success is read into.
type resultReader interface {
	// read reads the body of a response, which begins with no BOM.
	read(x *transport.Exchange, body []byte) error
	response() *Response
}

// do executes a call: it sends the request, retries it as needed, and reads the response
// into result or maps it to an error.
func (client *Client) do(
	ctx context.Context, c *call, result resultReader, opts []RequestOption,
) error {
	if ctx == nil {
		return invalid("ctx", nilContext)
	}
	req, err := client.newRequest(c, opts)
	if err != nil {
		return err
	}
	var outcome error // of the last attempt: the observer and the caller get the same
	req.After = func(x *transport.Exchange) {
		outcome = client.readOutcome(c, req.URL, x, result)
		client.report(ctx, c, x, outcome)
		if c.after != nil {
			c.after(x)
		}
	}
	last := client.transport.Do(ctx, req)
	switch {
	case last.Number == 0:
		text := client.redact(last.Ended.Error(), c, req.URL)
		return &notSentError{operation: c.op.name, cause: last.Ended, text: text}
	case outcome != nil && last.Ended != nil && !errors.Is(outcome, last.Ended):
		text := client.redact(last.Ended.Error(), c, req.URL)
		return &interruptedError{attempt: outcome, cause: last.Ended, text: text}
	}
	return outcome
}

// write executes a call whose response is a Result.
func (client *Client) write(
	ctx context.Context, op *operation, userID string, body []byte, opts []RequestOption,
) (*Result, error) {
	result := new(Result)
	err := client.do(ctx, &call{op: op, userID: userID, body: body}, result, opts)
	if err != nil {
		return nil, err
	}
	return result, nil
}

// newRequest checks the call and its options.
func (client *Client) newRequest(c *call, opts []RequestOption) (*transport.Request, error) {
	if err := checkUserID(c.userID); err != nil {
		return nil, err
	}
	header, policy := client.header(c.body != nil), c.op.policy
	if len(opts) > 0 {
		config := requestConfig{header: maps.Clone(header)}
		if err := config.apply(c.op, opts); err != nil {
			return nil, err
		}
		header = config.header
		if config.key != "" {
			policy = transport.IdempotentWithKey
		}
	}
	return &transport.Request{
		Method: c.op.method,
		URL:    client.resource(c),
		Header: header,
		Body:   c.body,
		Policy: policy,
		Before: c.before,
	}, nil
}

func checkUserID(userID string) error {
	switch userID {
	case "":
		return invalid("userID", "the user ID is empty: pass the ID of a user")
	case ".", "..":
		return invalid("userID", "the user IDs . and .. cannot be sent, because in a path "+
			"they mean another resource: use another ID")
	}
	return nil
}

// resource returns the URL of a call.
func (client *Client) resource(c *call) *url.URL {
	u := *client.base
	segment := escapeSegment(c.userID)
	if segment != c.userID || u.RawPath != "" {
		u.RawPath = u.EscapedPath() + "/profiles/" + segment + c.op.suffix
	}
	u.Path += "/profiles/" + c.userID + c.op.suffix
	u.RawQuery = c.query
	return &u
}

// escapeSegment percent-encodes all but the unreserved characters (RFC 3986, section
// 2.3), which is stricter than url.PathEscape, as the API reference asks for user IDs.
func escapeSegment(segment string) string {
	return strings.ReplaceAll(url.QueryEscape(segment), "+", "%20")
}

// readOutcome reads a success into result, or returns the error for the attempt.
func (client *Client) readOutcome(
	c *call, u *url.URL, x *transport.Exchange, result resultReader,
) error {
	if x.Err != nil {
		return &ConnectionError{
			Operation: c.op.name,
			Attempts:  x.Number,
			Err:       x.Err,
			text:      client.describeFailure(x.Err, c, u),
			retry:     x.Retryable,
		}
	}
	if x.Status/100 != 2 {
		return newAPIError(c.op.name, x)
	}
	*result.response() = newResponse(x)
	var err error = errTooLong
	if !x.TooLong {
		err = result.read(x, trimBOM(x.Body))
	}
	if err != nil {
		return &UnexpectedResponseError{
			Operation:  c.op.name,
			StatusCode: x.Status,
			Header:     x.Header,
			Body:       x.Body,
			Err:        err,
		}
	}
	return nil
}

// report passes an attempt to the observer and the logger.
func (client *Client) report(
	ctx context.Context, c *call, x *transport.Exchange, outcome error,
) {
	if client.observer == nil && client.log == nil {
		return
	}
	attempt := Attempt{
		Operation:  c.op.name,
		Number:     x.Number,
		StatusCode: x.Status,
		Duration:   x.Duration,
		Wait:       x.Wait,
		Reused:     x.Reused,
		Err:        outcome,
	}
	if client.observer != nil {
		client.observer(ctx, attempt)
	}
	if client.log == nil {
		return
	}
	level := slog.LevelWarn
	missing := c.op.expectsMissing && x.Status == http.StatusNotFound
	if x.Status/100 == 2 || missing {
		level = slog.LevelDebug
	}
	client.log(ctx, level, append(attempt.attrs(), slog.Bool("retry", x.Retry)))
}
