package courier

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/courier-profiles/courier-go/internal/transport"
)

// Option configures a [Client]. Options can be given in any order; if one is given twice,
// the last one wins. An invalid value is a [*ValidationError] from the constructor.
type Option func(*config) error

// config is what the options set.
type config struct {
	baseURL      string
	baseURLFrom  string // the option or variable that set it, for errors
	insecureHTTP bool
	httpClient   *http.Client
	transport    transport.Config
	log          logFunc
	observer     func(context.Context, Attempt)
	userAgent    string
}

// logFunc logs an attempt.
type logFunc func(ctx context.Context, level slog.Level, attrs []slog.Attr)

func defaultConfig() *config {
	return &config{
		baseURL:   DefaultBaseURL,
		userAgent: userAgent,
		transport: transport.Config{
			Timeout:       30 * time.Second,
			MaxRetries:    3,
			MinWait:       500 * time.Millisecond,
			MaxWait:       8 * time.Second,
			MaxRetryAfter: 60 * time.Second,
		},
	}
}

// WithBaseURL sets the base URL of the API: an absolute http or https URL, with or without
// a path, and without credentials, query, or fragment. The default is [DefaultBaseURL];
// workspaces in the EU use [EUBaseURL]. Plain http is refused unless the host is a loopback
// address or [WithInsecureHTTP] is given.
func WithBaseURL(baseURL string) Option {
	return func(c *config) error {
		c.baseURL, c.baseURLFrom = baseURL, "WithBaseURL"
		return nil
	}
}

// WithInsecureHTTP allows a base URL with plain http, which exposes the API key and the
// profiles to anyone on the network.
func WithInsecureHTTP() Option {
	return func(c *config) error {
		c.insecureHTTP = true
		return nil
	}
}

// WithHTTPClient sends requests through the client's Transport; nil means
// [http.DefaultTransport]. The Transport is looked up for each attempt, so a mock may be
// activated later, but not while calls run. The client's Timeout, as NewClient finds it, is
// an upper bound of [WithTimeout]. Its CheckRedirect and Jar are not used, because a
// redirect is an error here and the API has no cookies.
//
// [http.DefaultTransport] keeps two idle connections per host, which is too few for
// concurrent calls. To set a timeout, use [WithTimeout] instead; to configure or wrap the
// default pool, use a Transport of [NewTransport].
func WithHTTPClient(client *http.Client) Option {
	return func(c *config) error {
		if client == nil {
			return invalid("WithHTTPClient", "the client is nil: leave the option out to use the default")
		}
		c.httpClient = client
		return nil
	}
}

// WithTimeout limits one attempt, from waiting for a connection to the last byte of the
// response. The default is 30 s; 0 means no limit. To limit a whole call, retries
// included, use the deadline of its context.
func WithTimeout(timeout time.Duration) Option {
	return func(c *config) error {
		c.transport.Timeout = timeout
		return notNegative("WithTimeout", timeout)
	}
}

// WithMaxRetries sets the maximum number of retries of a call, after its first attempt.
// The default is 3; 0 turns retries off.
func WithMaxRetries(retries int) Option {
	return func(c *config) error {
		c.transport.MaxRetries = retries
		if retries < 0 {
			return invalid("WithMaxRetries", "the number is negative: use 0 for no retries")
		}
		return nil
	}
}

// WithRetryWait sets the bounds of the wait before a retry: exponential backoff with full
// jitter above min. Wait n (1, 2, …) is drawn evenly from min to the smaller of max and
// min × 2ⁿ. If min is 0, only a Retry-After makes a call wait. The defaults are 0.5 s
// and 8 s.
func WithRetryWait(min, max time.Duration) Option {
	return func(c *config) error {
		c.transport.MinWait, c.transport.MaxWait = min, max
		if min > max {
			return invalid("WithRetryWait", "min is greater than max: swap them")
		}
		return notNegative("WithRetryWait", min)
	}
}

// WithMaxRetryAfter sets the longest Retry-After that a call waits for. If Courier asks for
// a longer wait, the call returns the error at once. The default is 60 s.
func WithMaxRetryAfter(wait time.Duration) Option {
	return func(c *config) error {
		c.transport.MaxRetryAfter = wait
		return notNegative("WithMaxRetryAfter", wait)
	}
}

// WithLogger logs every attempt: at level Warn if it did not get a 2xx, with retry=true
// or retry=false, and otherwise at Debug. A 404 of Get or Delete is logged at Debug too,
// and so is a 2xx that turns out to be an [*UnexpectedResponseError]. The records have
// operation, attempt number, status, duration, wait, and error, and no API key, user ID,
// URL, or profile. The default is no logging.
func WithLogger(logger *slog.Logger) Option {
	return func(c *config) error {
		if logger == nil {
			return invalid("WithLogger", "the logger is nil: leave the option out for no logging")
		}
		// LogAttrs is called only here, so that a program without WithLogger does
		// not link slog's handlers.
		c.log = func(ctx context.Context, level slog.Level, attrs []slog.Attr) {
			logger.LogAttrs(ctx, level, "courier: attempt", attrs...)
		}
		return nil
	}
}

// WithObserver calls observe after every attempt, with the context of the call. The call
// waits for it, so it should return quickly. It must be safe for concurrent use.
func WithObserver(observe func(context.Context, Attempt)) Option {
	return func(c *config) error {
		if observe == nil {
			return invalid("WithObserver", "the function is nil: leave the option out for no observer")
		}
		c.observer = observe
		return nil
	}
}

// WithUserAgent puts product, such as "signup/1.4", in front of the User-Agent of this
// package (RFC 9110, section 10.1.5).
func WithUserAgent(product string) Option {
	return func(c *config) error {
		if product == "" || !isHeaderValue(product) {
			return invalid("WithUserAgent", "invalid product: use printable ASCII characters, "+
				"such as signup/1.4")
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

// parseBaseURL returns the base URL without a trailing slash. Its errors do not repeat the
// URL, which may contain credentials.
func parseBaseURL(c *config) (*url.URL, error) {
	option := c.baseURLFrom
	u, err := url.Parse(c.baseURL)
	switch {
	case err != nil:
		return nil, invalid(option, "invalid URL: use one such as "+DefaultBaseURL)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, invalid(option, "the URL must start with https://, such as "+DefaultBaseURL)
	case u.Hostname() == "":
		return nil, invalid(option, "the URL has no host: use one such as "+DefaultBaseURL)
	case u.User != nil:
		return nil, invalid(option, "the URL contains credentials: remove them, "+
			"and pass the API key to NewClient")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(c.baseURL, "#"):
		return nil, invalid(option, "the URL has a query or a fragment: remove it")
	case u.Scheme == "http" && !c.insecureHTTP && !isLoopback(u.Hostname()):
		return nil, invalid(option, "http would send the API key unencrypted: use https, "+
			"or add WithInsecureHTTP to allow it")
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

// RequestOption configures one call. An invalid option, or one that does not apply to the
// operation, is a [*ValidationError] from the call, and nothing is sent.
type RequestOption func(*requestConfig) error

// requestConfig is what the request options set. Mocks apply options to its zero value, to
// compare them.
type requestConfig struct {
	header     http.Header
	key        string
	expiration time.Time
}

func (c *requestConfig) setHeader(name, value string) {
	if c.header == nil {
		c.header = http.Header{}
	}
	c.header[name] = []string{value}
}

// apply applies the options of a call.
func (c *requestConfig) apply(op *operation, opts []RequestOption) error {
	for _, opt := range opts {
		if opt == nil {
			return invalid("opts", nilOption)
		}
		if err := opt(c); err != nil {
			return err
		}
	}
	otherOperation := "does not apply to " + op.name + ": use it with Merge or Subscribe"
	switch {
	case c.key != "" && !op.takesKey:
		return invalid("WithIdempotencyKey", otherOperation)
	case !c.expiration.IsZero() && !op.takesKey:
		return invalid("WithIdempotencyExpiration", otherOperation)
	case !c.expiration.IsZero() && c.key == "":
		return invalid("WithIdempotencyExpiration", "has no effect without WithIdempotencyKey: "+
			"add it")
	}
	return nil
}

// WithIdempotencyKey makes Courier execute the call only once: it saves its first response
// to the key, even a 500, and replays it for 25 hours (older pages of the API reference say
// 24), or until [WithIdempotencyExpiration]. Retries send the same key. A 500 is not
// retried, because Courier would replay it.
//
// The key is for Merge and Subscribe; each endpoint has keys of its own. A merge is
// idempotent by nature and needs no key to be retried. Use one if your own code may repeat
// the call hours later, and it must not override what was written in between.
func WithIdempotencyKey(key string) RequestOption {
	return func(c *requestConfig) error {
		if key == "" || !isHeaderValue(key) {
			return invalid("WithIdempotencyKey", "invalid key: use one or more printable ASCII "+
				"characters, with no space at either end")
		}
		c.key = key
		c.setHeader("Idempotency-Key", key)
		return nil
	}
}

// WithIdempotencyExpiration sets when Courier forgets the idempotency key of the call, up to
// 1 year ahead according to the API reference. Only a time in the past is refused here. It
// is sent in UTC, rounded down to a second (RFC 3339).
func WithIdempotencyExpiration(at time.Time) RequestOption {
	return func(c *requestConfig) error {
		if !at.After(time.Now()) {
			return invalid("WithIdempotencyExpiration", "the time is in the past: use one up to "+
				"1 year ahead")
		}
		c.expiration = at
		c.setHeader("X-Idempotency-Expiration", at.UTC().Format(time.RFC3339))
		return nil
	}
}

// WithHeader sets a header of the request, replacing one of the same name. It refuses
// Authorization, Host, Accept-Encoding, Content-*, Proxy-*, the idempotency headers, and
// those of the connection.
func WithHeader(key, value string) RequestOption {
	return func(c *requestConfig) error {
		const option = "WithHeader"
		name := http.CanonicalHeaderKey(key)
		switch {
		case !isToken(key):
			return invalid(option, "invalid header name: use letters, digits, and hyphens")
		case value != "" && !isHeaderValue(value):
			return invalid(option, "invalid value of "+name+": use printable ASCII characters, "+
				"with no space at either end")
		case isReserved(name):
			return invalid(option, name+" is set by the client: leave it out")
		case strings.Contains(name, "Idempotency"):
			return invalid(option, "use WithIdempotencyKey and WithIdempotencyExpiration instead")
		}
		c.setHeader(name, value)
		return nil
	}
}

// isReserved reports whether the client sets a header, or net/http sets it for the
// connection (RFC 9110, section 7.6.1).
func isReserved(name string) bool {
	switch name {
	case "Authorization", "Host", "Accept-Encoding",
		"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return strings.HasPrefix(name, "Content-") || strings.HasPrefix(name, "Proxy-")
}

// isHeaderValue reports whether text arrives unchanged as the value of a header.
func isHeaderValue(text string) bool {
	return isPrintableASCII(text) && strings.Trim(text, " ") == text
}

func isPrintableASCII(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' })
}

// isToken reports whether name is a token (RFC 9110, section 5.6.2).
func isToken(name string) bool {
	return name != "" && isPrintableASCII(name) &&
		!strings.ContainsAny(name, " \"(),/:;<=>?@[\\]{}")
}

// checkAPIKey returns an error that never repeats the key.
func checkAPIKey(name, key string) error {
	switch {
	case key == "":
		return invalid(name, "the API key is empty: copy it from the settings of your Courier workspace")
	case !isPrintableASCII(key) || strings.Contains(key, " "):
		return invalid(name, "the API key contains spaces, line breaks, or other characters "+
			"that no key has: check how it was copied or read")
	}
	return nil
}

func invalid(field, reason string) *ValidationError {
	return &ValidationError{Field: field, Reason: reason}
}

const (
	nilContext = "the context is nil: use context.Background if you have no other"
	nilOption  = "an option is nil: leave it out"
)
