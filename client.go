package courier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/courier-profiles/courier-go/internal/transport"
)

const (
	// DefaultBaseURL is the base URL of Courier's API.
	DefaultBaseURL = "https://api.courier.com"
	// EUBaseURL is the base URL of the same API for workspaces in the EU.
	EUBaseURL = "https://api.eu.courier.com"
	// Version is the version of this package.
	Version = "0.2.0"
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
	newHeader func() http.Header
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
		newHeader: headerFunc(apiKey, config.userAgent),
		transport: newTransport(config),
	}
	client.Profiles = &ProfilesService{client: client, Lists: &ListsService{client: client}}
	return client, nil
}

func newTransport(config *config) *transport.Transport {
	t := &config.transport
	if config.httpClient == nil {
		t.Base = transport.NewPool(nil)
		return t
	}
	t.Base = config.httpClient.Transport
	if timeout := config.httpClient.Timeout; timeout > 0 && (t.Timeout == 0 || timeout < t.Timeout) {
		t.Timeout = timeout
	}
	return t
}

// headerFunc returns a func that makes the header of a request. The requests share the
// values; each attempt has a copy.
func headerFunc(apiKey, userAgent string) func() http.Header {
	accept, authorization, agent := []string{"application/json"}, []string{"Bearer " + apiKey}, []string{userAgent}
	return func() http.Header {
		return http.Header{"Accept": accept, "Authorization": authorization, "User-Agent": agent}
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
		return nil, invalid("COURIER_API_KEY", "neither COURIER_API_KEY nor COURIER_AUTH_TOKEN is set: set one to the API key of your Courier workspace")
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

// NewTransport returns the connection pool that a client has by default, based on a clone
// of base; nil is the default configuration. Use it with [WithHTTPClient] to wrap the
// pool (tracing), to configure it (TLS, proxy), or to share it between clients.
//
// Without a base, the pool uses the proxy of the environment
// ([http.ProxyFromEnvironment]); with a base, set its Proxy. The pool has room for
// hundreds of idle connections, and speaks HTTP/2. It opens one HTTP/2 connection for calls that start together, and closes HTTP/2
// connections that do not respond to pings, within 5 s. Other settings of base are kept;
// only if it leaves MaxIdleConnsPerHost at 0 are both limits of idle connections raised.
func NewTransport(base *http.Transport) http.RoundTripper { return transport.NewPool(base) }

// CloseIdleConnections closes the connections of the client's pool that no call is
// using. With [WithHTTPClient] it does so if the Transport has a method of that name.
func (client *Client) CloseIdleConnections() {
	(&http.Client{Transport: client.transport.Base}).CloseIdleConnections()
}

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
	attemptContext context.Context
	before         func(context.Context) error
	after          func(transport.Attempt)
}

// result is what a success is read into.
type result interface {
	read(body []byte) error
	response() *Response
}

// do executes a call: it sends the request, retries it as needed, and reads the response
// into result or maps it to an error.
func (client *Client) do(ctx context.Context, c *call, result result, opts []RequestOption) error {
	if ctx == nil {
		return invalid("ctx", nilContext)
	}
	req, err := client.newRequest(c, opts)
	if err != nil {
		return err
	}
	if client.log != nil || client.observer != nil {
		req.Reused = client.observer != nil
		req.After = func(made transport.Attempt) {
			client.report(ctx, c, req, &made)
			if c.after != nil {
				c.after(made)
			}
		}
	}
	resp := client.transport.Do(ctx, req)
	if err := client.failure(c, req, &resp); err != nil {
		return err
	}
	*result.response() = newResponse(&resp)
	if resp.TooLong {
		err = errTooLong
	} else {
		err = result.read(trimBOM(resp.Body))
	}
	if err != nil {
		return &UnexpectedResponseError{Operation: c.op.name, StatusCode: resp.Status, Header: resp.Header, Body: resp.Body, Err: err}
	}
	return nil
}

// write executes a call whose response is a Result.
func (client *Client) write(ctx context.Context, op *operation, userID string, body []byte, opts []RequestOption) (*Result, error) {
	result := new(Result)
	if err := client.do(ctx, &call{op: op, userID: userID, body: body}, result, opts); err != nil {
		return nil, err
	}
	return result, nil
}

// newRequest checks the call and its options.
func (client *Client) newRequest(c *call, opts []RequestOption) (*transport.Request, error) {
	if err := checkUserID(c.userID); err != nil {
		return nil, err
	}
	header := client.newHeader()
	if c.body != nil {
		header["Content-Type"] = header["Accept"]
	}
	policy, err := applyOptions(c.op, header, opts)
	if err != nil {
		return nil, err
	}
	return &transport.Request{
		Method:         c.op.method,
		URL:            client.urlOf(c),
		Header:         header,
		Body:           c.body,
		Policy:         policy,
		AttemptContext: c.attemptContext,
		Before:         c.before,
		After:          c.after,
	}, nil
}

func checkUserID(userID string) error {
	switch userID {
	case "":
		return invalid("userID", "the user ID is empty: pass the ID of a user")
	case ".", "..":
		return invalid("userID", "the user IDs . and .. cannot be sent, because in a path they mean another resource: use another ID")
	}
	return nil
}

func (client *Client) urlOf(c *call) *url.URL {
	u := *client.base
	if segment := escapeSegment(c.userID); segment != c.userID || u.RawPath != "" {
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

// failure returns the error for a response, or nil for a 2xx.
func (client *Client) failure(c *call, req *transport.Request, resp *transport.Response) error {
	switch {
	case resp.Attempts == 0:
		return &notSentError{operation: c.op.name, cause: resp.Ended, text: client.redact(resp.Ended, c, req.URL)}
	case resp.Err != nil:
		err := resp.Err
		if resp.Ended != nil && !errors.Is(err, resp.Ended) {
			err = fmt.Errorf("%w; %w", err, resp.Ended)
		}
		return &ConnectionError{Operation: c.op.name, Attempts: resp.Attempts, Err: err, text: client.redact(err, c, req.URL)}
	case resp.Status/100 == 2:
		return nil
	}
	return newAPIError(c.op.name, resp, client.redact(resp.Ended, c, req.URL))
}

// redact returns the text of err, from any source, without URL, user ID, and API key. A
// short user ID can be part of any word, and is only redacted in a path.
func (client *Client) redact(err error, c *call, u *url.URL) string {
	if err == nil {
		return ""
	}
	secrets := []string{u.String(), u.RequestURI(), u.EscapedPath(), u.Path, client.apiKey()}
	for _, id := range spellings(c.userID) {
		secrets = append(secrets, "/profiles/"+id+c.op.suffix)
		if utf8.RuneCountInString(c.userID) >= 4 {
			secrets = append(secrets, id)
		}
	}
	var pairs []string
	for _, secret := range secrets {
		pairs = append(pairs, secret, redacted)
	}
	return strings.NewReplacer(pairs...).Replace(err.Error())
}

// spellings returns the forms in which text can appear in an error. The unchanged text
// comes last, because another form can begin with it.
func spellings(text string) []string {
	quoted, ascii := strconv.Quote(text), strconv.QuoteToASCII(text)
	return []string{
		escapeSegment(text), strings.ToLower(escapeSegment(text)), url.PathEscape(text), url.QueryEscape(text), (&url.URL{Path: text}).EscapedPath(),
		quoted[1 : len(quoted)-1], ascii[1 : len(ascii)-1], text,
	}
}

// report passes an attempt to the observer and the logger.
func (client *Client) report(ctx context.Context, c *call, req *transport.Request, made *transport.Attempt) {
	attempt := Attempt{
		Operation:  c.op.name,
		Number:     made.Attempts,
		StatusCode: made.Status,
		Duration:   time.Since(made.Started),
		Wait:       made.Wait,
		Reused:     made.Reused,
		Err:        client.failure(c, req, &made.Response),
	}
	if client.observer != nil {
		client.observer(ctx, attempt)
	}
	if client.log != nil {
		level := slog.LevelWarn
		if attempt.Err == nil || c.op.expectsMissing && attempt.StatusCode == http.StatusNotFound {
			level = slog.LevelDebug
		}
		client.log(ctx, level, append(attempt.attrs(), slog.Bool("retry", made.Retry)))
	}
}
