package courier

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Option configures a [Client]. Options may come in any order; of the same
// option the last one counts. An option with a value that makes no sense is a
// [*ValidationError] from the constructor.
type Option func(*config) error

// config is what the options fill.
type config struct {
	baseURL       string
	baseURLFrom   string // what set it, for errors
	insecureHTTP  bool
	httpClient    *http.Client
	proxy         func(*http.Request) (*url.URL, error)
	timeout       time.Duration
	maxRetries    int
	minWait       time.Duration
	maxWait       time.Duration
	maxRetryAfter time.Duration
	log           func(ctx context.Context, a Attempt, again bool)
	observer      func(context.Context, Attempt)
	userAgent     string
}

func defaultConfig() *config {
	return &config{
		baseURL:       DefaultBaseURL,
		timeout:       30 * time.Second,
		maxRetries:    3,
		minWait:       500 * time.Millisecond,
		maxWait:       8 * time.Second,
		maxRetryAfter: 60 * time.Second,
		userAgent:     userAgent,
	}
}

// WithBaseURL sets where the API is: an absolute http or https URL, which may
// have a path, and has no credentials, query or fragment. The default is
// [DefaultBaseURL]; workspaces in the EU are at [EUBaseURL]. Plain http is
// refused unless the host is a loopback address or [WithInsecureHTTP] is given.
func WithBaseURL(baseURL string) Option {
	return func(c *config) error {
		c.baseURL, c.baseURLFrom = baseURL, "WithBaseURL"
		return nil
	}
}

// WithInsecureHTTP allows a base URL with http, where everybody on the way can
// read the API key and the profiles.
func WithInsecureHTTP() Option {
	return func(c *config) error {
		c.insecureHTTP = true
		return nil
	}
}

// WithHTTPClient has calls sent through the client's Transport; its Timeout is
// an upper bound of [WithTimeout]. Its CheckRedirect and Jar are not used,
// because redirects are answers here and the API has no cookies. The client is
// copied and never changed. With a nil Transport, the pool is this package's.
//
// The default pool has room for hundreds of calls in flight, speaks HTTP/2, opens
// as many connections as there are attempts in flight where it has to speak
// HTTP/1.1 (see Connections in the package page), and uses no proxy; a Transport
// with Proxy set to [http.ProxyFromEnvironment] does.
// A cold client waits for its first https connection, in place of dialling for
// every call, only where the Transport is an [*http.Transport].
func WithHTTPClient(client *http.Client) Option {
	return func(c *config) error {
		if client == nil {
			return invalid("WithHTTPClient", "the client is nil: leave the option out to use the default")
		}
		c.httpClient = client
		return nil
	}
}

// WithTimeout bounds one attempt, from waiting for a connection to the last
// byte of the answer. The default is 30 s; 0 is no bound. Bound a whole call,
// retries included, with the deadline of its context.
func WithTimeout(timeout time.Duration) Option {
	return func(c *config) error {
		c.timeout = timeout
		return notNegative("WithTimeout", timeout)
	}
}

// WithMaxRetries sets how many times a call is sent again at the most, after
// its first attempt. The default is 3; 0 turns retries off.
func WithMaxRetries(retries int) Option {
	return func(c *config) error {
		c.maxRetries = retries
		if retries < 0 {
			return invalid("WithMaxRetries", "the number is negative: use 0 for no retries")
		}
		return nil
	}
}

// WithRetryWait sets the bounds of the wait before a retry. Wait n is drawn
// evenly from min to the smaller of max and min × 2ⁿ (full jitter above a
// floor); with a min of 0 there is no wait. The defaults are 0.5 s and 8 s.
func WithRetryWait(min, max time.Duration) Option {
	return func(c *config) error {
		c.minWait, c.maxWait = min, max
		if min > max {
			return invalid("WithRetryWait", "min is above max: swap them")
		}
		return notNegative("WithRetryWait", min)
	}
}

// WithMaxRetryAfter sets the longest Retry-After that a call waits for. When
// Courier asks for more, the call returns with the answer in hand at once. The
// default is 60 s.
func WithMaxRetryAfter(wait time.Duration) Option {
	return func(c *config) error {
		c.maxRetryAfter = wait
		return notNegative("WithMaxRetryAfter", wait)
	}
}

// WithLogger has every attempt logged: at level Warn when it is going to be
// retried, at Debug otherwise. The records hold operation, attempt number,
// status, duration, wait and error, and no key, user id, URL or profile. The
// default is no logging.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) error {
		if logger == nil {
			return invalid("WithLogger", "the logger is nil: leave the option out for no logging")
		}
		c.log = logTo(logger)
		return nil
	}
}

// WithObserver has observe called after every attempt, with the context of the
// call, on the goroutine of the call and before any wait. It must be safe for
// concurrent use and quick.
func WithObserver(observe func(context.Context, Attempt)) Option {
	return func(c *config) error {
		if observe == nil {
			return invalid("WithObserver", "the function is nil: leave the option out for no observer")
		}
		c.observer = observe
		return nil
	}
}

// WithUserAgent puts product, such as "signup/1.4", in front of the User-Agent
// that this package sends (RFC 9110, section 10.1.5).
func WithUserAgent(product string) Option {
	return func(c *config) error {
		if product == "" || !isHeaderText(product) {
			return invalid("WithUserAgent", "use printable ASCII characters, such as signup/1.4")
		}
		c.userAgent = product + " " + userAgent
		return nil
	}
}

func notNegative(option string, d time.Duration) error {
	if d < 0 {
		return invalid(option, "the duration is negative: use 0 or more")
	}
	return nil
}

// parseBaseURL returns the base URL without a slash at the end. Its errors do
// not repeat the URL, which may hold credentials.
func parseBaseURL(c *config) (*url.URL, error) {
	option := c.baseURLFrom
	u, err := url.Parse(c.baseURL)
	switch {
	case err != nil:
		return nil, invalid(option, "that is no URL: use one such as "+DefaultBaseURL)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, invalid(option, "the URL has to start with https://, such as "+DefaultBaseURL)
	case u.Hostname() == "":
		return nil, invalid(option, "the URL has no host: use one such as "+DefaultBaseURL)
	case u.User != nil:
		return nil, invalid(option, "the URL holds credentials: remove them, the API key goes to NewClient")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(c.baseURL, "#"):
		return nil, invalid(option, "the URL has a query or a fragment: remove it")
	case u.Scheme == "http" && !c.insecureHTTP && !isLoopback(u.Hostname()):
		return nil, invalid(option, "http would send the API key in the clear: use https, or WithInsecureHTTP if that is meant")
	}
	escaped := strings.TrimRight(u.EscapedPath(), "/")
	u.Path, err = url.PathUnescape(escaped)
	if u.RawPath = ""; u.EscapedPath() != escaped {
		u.RawPath = escaped
	}
	return u, err
}

func isLoopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// RequestOption configures one call. An option that makes no sense, or not for
// that operation, is a [*ValidationError] from the call, and nothing is sent.
type RequestOption func(*request) error

// request is what the request options fill.
type request struct {
	operation *operation
	header    http.Header
	keyed     bool
}

// WithIdempotencyKey has Courier act on the call only once, however often it
// arrives with that key: it saves its first answer, a 500 too, and replays it,
// for 24 hours or until [WithIdempotencyExpiration]. Retries send the same key.
//
// It goes with Merge and Subscribe. Merge is idempotent by nature and needs no
// key to be retried; use one to have a call that is repeated by your own code,
// hours later, answered without being applied to what the profile is by then.
func WithIdempotencyKey(key string) RequestOption {
	return func(r *request) error {
		const option = "WithIdempotencyKey"
		if key == "" || !isHeaderText(key) {
			return invalid(option, "use one or more printable ASCII characters, with no space at either end")
		}
		r.header["Idempotency-Key"] = []string{key}
		r.keyed = true
		return r.keyedOnly(option)
	}
}

// WithIdempotencyExpiration sets when Courier forgets the idempotency key of
// the call: 24 hours to 1 year ahead, says the API reference. Only a time that
// has passed is refused here. It is sent in milliseconds.
func WithIdempotencyExpiration(at time.Time) RequestOption {
	return func(r *request) error {
		const option = "WithIdempotencyExpiration"
		if !at.After(time.Now()) {
			return invalid(option, "the time has passed: use one 24 hours to 1 year ahead")
		}
		r.header["X-Idempotency-Expiration"] = []string{strconv.FormatInt(at.UnixMilli(), 10)}
		return r.keyedOnly(option)
	}
}

func (r *request) keyedOnly(option string) error {
	if !r.operation.takesKey {
		return invalid(option, "has no place in "+r.operation.name+": it goes with Merge and Subscribe")
	}
	return nil
}

// WithHeader sets a header of the request, replacing one of that name. It
// refuses the headers that the client answers for: Authorization, Host,
// Accept-Encoding, Content-…, those of idempotency and those of the connection.
func WithHeader(key, value string) RequestOption {
	return func(r *request) error {
		const option = "WithHeader"
		name := http.CanonicalHeaderKey(key)
		switch {
		case !isToken(key):
			return invalid(option, "the name is no header name")
		case value != "" && !isHeaderText(value):
			return invalid(option, "the value of "+name+" holds more than printable ASCII characters")
		case isOurs(name):
			return invalid(option, name+" is set by the client")
		case strings.Contains(name, "Idempotency"):
			return invalid(option, "use WithIdempotencyKey and WithIdempotencyExpiration")
		}
		r.header[name] = []string{value}
		return nil
	}
}

// isOurs reports whether the client, or net/http for the connection (RFC 9110,
// section 7.6.1), answers for a header.
func isOurs(name string) bool {
	switch name {
	case "Authorization", "Host", "Accept-Encoding",
		"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return strings.HasPrefix(name, "Content-") || strings.HasPrefix(name, "Proxy-")
}

// isHeaderText reports whether text can be sent as a header's value and arrive
// as it was.
func isHeaderText(text string) bool {
	return isPrintableASCII(text) && strings.Trim(text, " ") == text
}

func isPrintableASCII(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// isToken reports whether name is a token (RFC 9110, section 5.6.2).
func isToken(name string) bool {
	return name != "" && isPrintableASCII(name) && !strings.ContainsAny(name, " \"(),/:;<=>?@[\\]{}")
}

// checkAPIKey returns an error that never repeats the key.
func checkAPIKey(name, key string) error {
	switch {
	case key == "":
		return invalid(name, "the API key is empty: take one from the settings of your Courier workspace")
	case !isPrintableASCII(key) || strings.Contains(key, " "):
		return invalid(name, "the API key holds spaces, line ends or other characters that no key has: check how it was copied or read")
	}
	return nil
}

const (
	nilContext = "the context is nil: use context.Background if there is no other"
	nilOption  = "an option is nil: leave it out"
)

func invalid(field, reason string) *ValidationError {
	return &ValidationError{Field: field, Reason: reason}
}
