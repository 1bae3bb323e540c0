package courier

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/courier-profiles/courier-go/internal/coldstart"
	"github.com/courier-profiles/courier-go/internal/connlimit"
	"github.com/courier-profiles/courier-go/internal/retry"
)

const (
	// DefaultBaseURL is where Courier's API is.
	DefaultBaseURL = "https://api.courier.com"
	// EUBaseURL is where the same API is for workspaces in the EU.
	EUBaseURL = "https://api.eu.courier.com"
)

const userAgent = "courier-profiles-go/0.1.0"

// How much of an answer is read, in bytes.
const (
	maxSuccess = 8 << 20
	maxError   = 1 << 20
)

// maxPooled is the largest buffer that is kept for the next call, in bytes.
const maxPooled = 64 << 10

// Client talks to the Courier Profiles API. It never changes after it was made,
// and may be used by any number of goroutines at once; make one and share it.
// It has no goroutines of its own.
type Client struct {
	// Profiles has the operations.
	Profiles *ProfilesService

	core func() *core
}

// core is what a client and its services share. They have it behind a function,
// the one thing that fmt does not look into: it prints all fields of a struct,
// however private they are, and would show key and URL, and race with calls.
type core struct {
	*config
	base *url.URL
	// setHeader sets the headers that every request has.
	setHeader func(header http.Header, hasBody bool)
	transport http.RoundTripper
	gate      *coldstart.Gate  // nil if the transport is no http.Transport, or the scheme http
	limit     *connlimit.Limit // nil if the transport is the caller's
	budget    retry.Budget
	buffers   sync.Pool // of *bytes.Buffer, for the bodies of answers
}

// NewClient returns a client for the workspace that apiKey belongs to. It uses
// neither network nor environment; the error is a [*ValidationError].
func NewClient(apiKey string, opts ...Option) (*Client, error) {
	if err := checkAPIKey("apiKey", apiKey); err != nil {
		return nil, err
	}
	c := &core{config: defaultConfig()}
	for _, opt := range opts {
		if opt == nil {
			return nil, invalid("opts", nilOption)
		}
		if err := opt(c.config); err != nil {
			return nil, err
		}
	}
	base, err := parseBaseURL(c.config)
	if err != nil {
		return nil, err
	}
	c.base = base
	c.setTransport()
	c.setHeader = headerSetter(apiKey, c.userAgent)
	c.buffers.New = func() any { return new(bytes.Buffer) }
	shared := func() *core { return c }
	return &Client{
		Profiles: &ProfilesService{core: shared, Lists: &ListsService{core: shared}},
		core:     shared,
	}, nil
}

// NewClientFromEnv is [NewClient] with the API key from the environment variable
// COURIER_API_KEY, or else COURIER_AUTH_TOKEN, and the base URL from
// COURIER_BASE_URL if that is set. Options go before the environment. The
// default pool uses the proxy that the environment names, as
// [http.ProxyFromEnvironment] does.
func NewClientFromEnv(opts ...Option) (*Client, error) {
	name := "COURIER_API_KEY"
	key := os.Getenv(name)
	if key == "" {
		name = "COURIER_AUTH_TOKEN"
		key = os.Getenv(name)
	}
	if key == "" {
		return nil, invalid("COURIER_API_KEY", "neither COURIER_API_KEY nor COURIER_AUTH_TOKEN is set: set one to the API key of your Courier workspace")
	}
	if err := checkAPIKey(name, key); err != nil {
		return nil, err
	}
	fromEnv := func(c *config) error {
		c.proxy = http.ProxyFromEnvironment
		if baseURL := os.Getenv("COURIER_BASE_URL"); baseURL != "" {
			c.baseURL, c.baseURLFrom = baseURL, "COURIER_BASE_URL"
		}
		return nil
	}
	return NewClient(key, append([]Option{fromEnv}, opts...)...)
}

func (c *core) setTransport() {
	if client := c.httpClient; client != nil {
		c.transport = client.Transport
		if client.Timeout > 0 && (c.timeout == 0 || client.Timeout < c.timeout) {
			c.timeout = client.Timeout
		}
	}
	if c.transport == nil {
		c.limit = &connlimit.Limit{Dial: (&net.Dialer{Timeout: 10 * time.Second}).DialContext}
		c.transport = newPool(c.proxy, c.limit.DialContext)
	}
	if pool, ok := c.transport.(*http.Transport); ok && c.base.Scheme == "https" {
		c.gate = &coldstart.Gate{Idle: pool.IdleConnTimeout}
		if c.limit != nil {
			c.limit.Shared = c.gate.HTTP2
		}
	}
}

func newPool(proxy func(*http.Request) (*url.URL, error), dial func(context.Context, string, string) (net.Conn, error)) *http.Transport {
	return &http.Transport{
		Proxy:               proxy,
		DialContext:         dial,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 1024,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
		// Without pings a dead HTTP/2 connection swallows every call for minutes.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}
}

// headerSetter shares the values between all requests.
func headerSetter(apiKey, userAgent string) func(http.Header, bool) {
	var (
		applicationJSON = []string{"application/json"}
		authorization   = []string{"Bearer " + apiKey}
		agent           = []string{userAgent}
	)
	return func(header http.Header, hasBody bool) {
		header["Accept"] = applicationJSON
		header["Authorization"] = authorization
		header["User-Agent"] = agent
		if hasBody {
			header["Content-Type"] = applicationJSON
		}
	}
}

// CloseIdleConnections closes the connections of the pool that no call uses.
func (client *Client) CloseIdleConnections() {
	c := client.core()
	if c.gate != nil {
		c.gate.Chill()
	}
	if pool, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		pool.CloseIdleConnections()
	}
}

// operation is what the calls of one method have in common.
type operation struct {
	name     string // in errors and logs
	method   string
	suffix   string // of the path, behind the user id
	retry    retry.Policy
	takesKey bool // an idempotency key
}

// answer is what a success is read into.
type answer interface {
	read(text []byte) error
	response() *Response
}

// call is one call on its way: a method makes it, and do sends it, with send once
// for each attempt and next behind it.
type call struct {
	op     *operation
	userID string
	query  string
	body   []byte
	result answer

	core   *core
	run    *mergeRun // of which the call is a part; nil for one on its own
	policy retry.Policy
	sent   http.Header

	// Values in place of pointers: all of it is one allocation.
	url     url.URL
	limited io.LimitedReader

	attempts int
	started  time.Time // of the last attempt, as all up to err
	status   int       // 0 if no whole answer came
	header   http.Header
	text     []byte // the body of the answer
	tooLong  bool   // the body of the answer goes on behind text
	cutOff   bool   // the body of the answer ended in an error
	err      error  // why no whole answer came

	retryAfter    time.Duration // what the answer asked for
	hasRetryAfter bool

	ended  error       // what kept the call from another attempt, as in APIError
	reused atomic.Bool // the connection of the last attempt; known if there is an observer
}

// do is the way of every call: it sends the request, again if need be, and reads
// the answer into the result, or returns the error that it stands for.
func (c *core) do(ctx context.Context, k *call, opts []RequestOption) error {
	k.core = c
	if err := k.prepare(ctx, opts); err != nil {
		return err
	}
	if err := k.ready(ctx, 0); err != nil {
		k.err = err
		return k.failure(ctx)
	}
	for {
		k.attempt(ctx)
		wait, again := k.next(ctx)
		k.report(ctx, wait, again)
		if !again {
			break
		}
		if k.ended = k.ready(ctx, wait); k.ended != nil {
			c.budget.Give() // for the retry that is not made
			break
		}
	}
	if err := k.failure(ctx); err != nil {
		return err
	}
	return k.decode()
}

// prepare checks the call and makes its URL and headers.
func (k *call) prepare(ctx context.Context, opts []RequestOption) error {
	if ctx == nil {
		return invalid("ctx", nilContext)
	}
	switch k.userID {
	case "":
		return invalid("userID", "the user id is empty")
	case ".", "..":
		return invalid("userID", "the user ids . and .. cannot be sent: in a path they mean another resource")
	}
	k.url = *k.core.base
	if segment := escapeSegment(k.userID); segment != k.userID || k.url.RawPath != "" {
		k.url.RawPath = k.url.EscapedPath() + "/profiles/" + segment + k.op.suffix
	}
	k.url.Path += "/profiles/" + k.userID + k.op.suffix
	k.url.RawQuery = k.query

	req := request{operation: k.op, header: make(http.Header, 8)}
	k.core.setHeader(req.header, k.body != nil)
	for _, opt := range opts {
		if opt == nil {
			return invalid("opts", nilOption)
		}
		if err := opt(&req); err != nil {
			return err
		}
	}
	k.sent = req.header
	k.policy = k.op.retry
	if req.keyed {
		k.policy = retry.IdempotentWithKey
	} else if req.header["X-Idempotency-Expiration"] != nil {
		return invalid("WithIdempotencyExpiration", "has no effect without WithIdempotencyKey")
	}
	return nil
}

// escapeSegment percent-encodes all but the unreserved characters (RFC 3986,
// section 2.3), as Courier's API reference asks for user ids.
func escapeSegment(segment string) string {
	const hex = "0123456789ABCDEF"
	escaped := make([]byte, 0, 64)
	for i := range len(segment) {
		switch c := segment[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			escaped = append(escaped, c)
		default:
			escaped = append(escaped, '%', hex[c>>4], hex[c&0xF])
		}
	}
	if len(escaped) == len(segment) {
		return segment
	}
	return string(escaped)
}

// ready waits until the next attempt may be sent, or returns why it may not be.
func (k *call) ready(ctx context.Context, wait time.Duration) error {
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	// Both may have come at once, and then the last answer stands.
	if err := endOf(ctx); err != nil {
		return err
	}
	if k.run != nil {
		return k.run.pace(ctx)
	}
	return nil
}

// attempt sends the request once, with a deadline of its own, and reads the answer
// to its last byte.
func (k *call) attempt(ctx context.Context) {
	k.attempts++
	k.started = time.Now()
	k.status, k.header, k.text, k.tooLong, k.cutOff = 0, nil, nil, false, false
	attempt := ctx
	if k.run != nil {
		attempt = k.run.ctx // that the run ends does not cut off what is being sent
	}
	if k.core.timeout > 0 {
		var cancel context.CancelFunc
		attempt, cancel = context.WithTimeout(attempt, k.core.timeout)
		defer cancel()
	}
	k.err = k.send(attempt)
	if k.cutOff {
		k.ended = endOf(ctx)
	}
	if k.run != nil {
		k.run.answered(k.status, k.started)
	}
}

var errNoResponse = errors.New("the transport returned neither an answer nor an error")

// send is the way of an attempt to the wire and back.
func (k *call) send(ctx context.Context) error {
	if k.core.gate != nil {
		first, done, err := k.core.gate.Enter(ctx)
		if err != nil {
			return err
		}
		if done != nil {
			ctx = first
			defer done()
		}
	}
	var gotConn func(httptrace.GotConnInfo)
	if k.core.observer != nil {
		k.reused.Store(false)
		gotConn = func(info httptrace.GotConnInfo) { k.reused.Store(info.Reused) }
	}
	if k.core.limit != nil {
		counted, attempt := k.core.limit.Enter(ctx, gotConn)
		defer attempt.Leave()
		ctx = counted
	} else if gotConn != nil {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: gotConn})
	}
	req := (&http.Request{
		Method: k.op.method, URL: &k.url, Host: k.url.Host, Header: k.sent,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(k.body)),
	}).WithContext(ctx)
	if k.body != nil {
		req.GetBody = k.newBody
		req.Body, _ = k.newBody()
	}
	resp, err := k.core.transport.RoundTrip(req)
	if err != nil {
		return schemeMismatch(err)
	}
	if resp == nil {
		return errNoResponse
	}
	return k.readAnswer(resp)
}

// schemeMismatch says what http.Client says when an http server answers https.
func schemeMismatch(err error) error {
	var record tls.RecordHeaderError
	if errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/" {
		return http.ErrSchemeMismatch
	}
	return err
}

// newBody returns the body in the one form that net/http writes in one piece
// with the headers.
func (k *call) newBody() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(k.body)), nil
}

// readAnswer reads the body to its end, or to the limit. A body that breaks off
// is no answer if it was to be a success; otherwise the status says enough.
func (k *call) readAnswer(resp *http.Response) error {
	success := resp.StatusCode/100 == 2
	limit := maxError
	if success {
		limit = maxSuccess
	}
	buffer := k.core.buffers.Get().(*bytes.Buffer)
	buffer.Reset()
	if resp.Body != nil {
		defer resp.Body.Close()
	}
	// The body of 101 is the connection, which may never end.
	if resp.Body != nil && resp.StatusCode != http.StatusSwitchingProtocols {
		k.limited = io.LimitedReader{R: resp.Body, N: int64(limit) + 1}
		_, err := buffer.ReadFrom(&k.limited)
		if err != nil && success {
			return err
		}
		k.cutOff = err != nil
	}
	k.status, k.header = resp.StatusCode, resp.Header
	k.retryAfter, k.hasRetryAfter = retry.After(k.header, time.Now())
	k.tooLong = buffer.Len() > limit
	k.text = bytes.Clone(buffer.Next(limit))
	if buffer.Cap() <= maxPooled {
		k.core.buffers.Put(buffer)
	}
	return nil
}

// next decides whether there is another attempt, and after which wait.
func (k *call) next(ctx context.Context) (wait time.Duration, again bool) {
	c := k.core
	if k.err == nil && !retry.Idempotent.Status(k.status) {
		c.budget.Give()
		return 0, false
	}
	if k.attempts > c.maxRetries || !k.retryable() {
		return 0, false
	}
	if err := endOf(ctx); err != nil {
		k.ended = err
		return 0, false
	}
	wait = retry.Jitter(k.attempts, c.minWait, c.maxWait)
	if k.status == http.StatusTooManyRequests || k.status == http.StatusServiceUnavailable {
		if k.hasRetryAfter {
			wait = max(k.retryAfter, c.minWait)
		}
		if k.retryAfter > c.maxRetryAfter {
			return 0, false
		}
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return 0, false
	}
	if !c.budget.Take() {
		return 0, false
	}
	return wait, true
}

func (k *call) retryable() bool {
	if k.err != nil {
		return k.policy.Err(k.err)
	}
	return k.policy.Status(k.status)
}

// report tells the logger and the observer of the last attempt.
func (k *call) report(ctx context.Context, wait time.Duration, again bool) {
	c := k.core
	if c.log == nil && c.observer == nil {
		return
	}
	a := Attempt{
		Operation:  k.op.name,
		Number:     k.attempts,
		StatusCode: k.status,
		Duration:   time.Since(k.started),
		Wait:       wait,
		Reused:     k.reused.Load(),
		Err:        k.failure(ctx),
	}
	if c.observer != nil {
		c.observer(ctx, a)
	}
	if c.log != nil {
		c.log(ctx, a, again)
	}
}

// logTo returns what WithLogger has called after every attempt. A program without
// WithLogger never refers to it, and so does not have the logger linked.
func logTo(logger *slog.Logger) func(context.Context, Attempt, bool) {
	return func(ctx context.Context, a Attempt, again bool) {
		level := slog.LevelDebug
		if again {
			level = slog.LevelWarn
		}
		attrs := []slog.Attr{
			slog.String("operation", a.Operation),
			slog.Int("attempt", a.Number),
			slog.Int("status", a.StatusCode),
			slog.Duration("duration", a.Duration),
			slog.Bool("retry", again),
			slog.Duration("wait", a.Wait),
		}
		if a.Err != nil {
			attrs = append(attrs, slog.Any("error", a.Err))
		}
		logger.LogAttrs(ctx, level, "courier: attempt", attrs...)
	}
}

// failure returns the error that the last attempt stands for, or nil if it is a
// success by its status.
func (k *call) failure(ctx context.Context) error {
	if k.err != nil {
		err, ended := k.err, k.ended
		if ended == nil {
			ended = endOf(ctx)
		}
		if ended != nil && !errors.Is(err, ended) {
			err = errors.Join(err, ended)
		}
		return &ConnectionError{Operation: k.op.name, Attempts: k.attempts, Err: err}
	}
	if k.status/100 == 2 {
		return nil
	}
	response := newResponse(k.status, k.header, k.attempts)
	e := &APIError{
		Operation:  k.op.name,
		StatusCode: k.status,
		RequestID:  response.RequestID,
		Attempts:   k.attempts,
		Header:     k.header,
		Body:       k.text,
		ended:      k.ended,
	}
	e.readBody(k.sentText)
	return e.typed(k.retryAfter)
}

// sentText is all that the request held and an answer might repeat.
func (k *call) sentText() string {
	text := []string{k.userID, k.url.String(), k.url.Path, string(k.body)}
	for name, values := range k.sent {
		if name != "Accept" && name != "Content-Type" && name != "User-Agent" {
			text = append(text, values...)
		}
	}
	return strings.Join(text, " ")
}

// decode reads the answer into the result.
func (k *call) decode() error {
	*k.result.response() = newResponse(k.status, k.header, k.attempts)
	var err error = errTooLong
	if !k.tooLong {
		err = k.result.read(k.text)
	}
	if err == nil {
		return nil
	}
	return &UnexpectedResponseError{
		Operation:  k.op.name,
		StatusCode: k.status,
		Header:     k.header,
		Body:       k.text,
		Err:        err,
	}
}

// write does a call that is answered with a Result.
func (c *core) write(ctx context.Context, op *operation, userID string, body []byte, opts []RequestOption) (*Result, error) {
	result := new(Result)
	if err := c.do(ctx, &call{op: op, userID: userID, body: body, result: result}, opts); err != nil {
		return nil, err
	}
	return result, nil
}
