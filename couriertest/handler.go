package couriertest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// DefaultAPIKey is the key that a new Handler accepts.
const DefaultAPIKey = "test-api-key"

// maxBody is the largest request. Courier documents 6 MB; this is the larger of its
// two meanings.
const maxBody = 6 << 20

// Handler is an in-memory fake of the Profiles API, as an http.Handler for your own
// server; [Server] combines the two. It serves paths that begin with /profiles/; to
// mount it below a prefix, wrap it in http.StripPrefix.
//
// A Handler is safe for concurrent use. Set its fields before the first request.
type Handler struct {
	// APIKey is the key to accept. NewHandler sets it to DefaultAPIKey.
	APIKey string

	// PageSize is the number of subscriptions on a page. Below 1 it is the default,
	// 3, which is small so that tests see a second page.
	PageSize int

	// MaxRequests is how many of the latest requests are kept for Requests. 0 keeps
	// all of them, which takes memory in a test of a million; a negative number
	// keeps none.
	MaxRequests int

	// OnRequest, if set, is called for each request when its response is known, and
	// before the response is sent. It runs in the goroutine that serves the request:
	// calls for concurrent requests overlap, and a slow one delays its response. It
	// may call the methods of the Handler.
	OnRequest func(Exchange)

	store store
	keys  idempotencyKeys

	mu       sync.Mutex
	received int // requests, kept or not
	requests []Request
	faults   map[string][]Fault // by user ID; "" is the queue of Fail
}

// NewHandler returns a handler without any data.
func NewHandler() *Handler {
	return &Handler{APIKey: DefaultAPIKey}
}

// Clear removes all data: profiles, preferences, lists, subscriptions, idempotency keys,
// requests and faults. The fields of the Handler stay as they are, and request IDs go on.
func (h *Handler) Clear() {
	h.store.clear()
	h.keys.clear()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = nil
	h.faults = nil
}

// call is a request to an endpoint.
type call struct {
	userID string
	query  url.Values
	body   []byte
}

// object reads a body that must be a JSON object.
func (c call) object() (map[string]any, error) {
	object, err := parseObject(c.body)
	if err != nil {
		return nil, fmt.Errorf("request body: %w", err)
	}
	return object, nil
}

// endpoint is an operation of the API.
type endpoint struct {
	method, name string
	serve        func(*Handler, call) response
}

// resource returns the endpoints at a path and the user ID in it. It splits the path
// as it was sent, so that an encoded slash is part of the ID; http.ServeMux decodes
// and cleans first.
func resource(escapedPath string) (userID string, endpoints []endpoint) {
	segments := strings.Split(escapedPath, "/")
	if len(segments) < 3 || segments[0] != "" || segments[1] != "profiles" {
		return "", nil
	}
	userID, err := url.PathUnescape(segments[2])
	if err != nil || userID == "" || userID == "." || userID == ".." {
		// Dot segments are normalized away before they reach a server (RFC 3986,
		// section 6.2.2.3).
		return "", nil
	}
	switch {
	case len(segments) == 3:
		return userID, []endpoint{
			{http.MethodGet, "get profile", (*Handler).getProfile},
			{http.MethodPost, "merge profile", (*Handler).mergeProfile},
			{http.MethodPut, "replace profile", (*Handler).replaceProfile},
			{http.MethodPatch, "patch profile", (*Handler).patchProfile},
			{http.MethodDelete, "delete profile", (*Handler).deleteProfile},
		}
	case len(segments) == 4 && segments[3] == "lists":
		return userID, []endpoint{
			{http.MethodGet, "list subscriptions", (*Handler).listSubscriptions},
			{http.MethodPost, "subscribe", (*Handler).subscribe},
			{http.MethodDelete, "unsubscribe all", (*Handler).unsubscribeAll},
		}
	default:
		return "", nil
	}
}

// ServeHTTP serves one request. Where a [Fault] leaves a response unfinished it panics
// with http.ErrAbortHandler, as net/http servers expect.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	// net/http notices that a client has gone away, which ends a delay, only once
	// the body has been read.
	body, bodyErr := readBody(r.Body)
	path := r.URL.EscapedPath()
	userID, endpoints := resource(path)
	c := call{userID: userID, query: r.URL.Query(), body: body}
	request := Request{
		Method: r.Method, Path: path, UserID: userID,
		Query: c.query, Header: r.Header.Clone(), Body: body,
	}
	i := slices.IndexFunc(endpoints, func(e endpoint) bool { return e.method == r.Method })
	if i >= 0 {
		request.Operation = endpoints[i].name
	}
	number, fault := h.receive(request)

	var serve func() response
	finish := func(response) {}
	reject := func(status int, message string) {
		serve = func() response { return errorResponse(status, message) }
	}
	switch {
	case !h.authorized(r.Header):
		reject(http.StatusUnauthorized, "the API key is missing or wrong")
	case endpoints == nil:
		reject(http.StatusNotFound, "no such resource")
	case i < 0:
		serve = func() response { return methodNotAllowed(endpoints) }
	case errors.Is(bodyErr, errTooLarge):
		reject(http.StatusRequestEntityTooLarge, bodyErr.Error())
	case bodyErr != nil:
		reject(http.StatusBadRequest, "request body: "+bodyErr.Error())
	default:
		serve = func() response { return endpoints[i].serve(h, c) }
		if r.Method == http.MethodPost {
			id := keyID{endpoints[i].name, userID, r.Header.Get("Idempotency-Key")}
			serve, finish = h.keys.claim(id, r.Header.Get("x-idempotency-expiration"), serve)
		}
	}
	resp := fault.apply(r.Context(), serve)
	finish(resp)
	if !resp.lost {
		request.Status = resp.status
		h.setStatus(number, resp.status)
	}
	if h.OnRequest != nil {
		h.OnRequest(h.exchange(request, number, resp, start))
	}
	resp.write(w, number)
}

func (h *Handler) authorized(header http.Header) bool {
	scheme, key, _ := strings.Cut(header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer") && key == h.APIKey && key != ""
}

func methodNotAllowed(endpoints []endpoint) response {
	methods := make([]string, len(endpoints))
	for i, e := range endpoints {
		methods[i] = e.method
	}
	r := errorResponse(http.StatusMethodNotAllowed, "the resource does not have this method")
	r.header = http.Header{"Allow": {strings.Join(methods, ", ")}}
	return r
}

var errTooLarge = fmt.Errorf("request body is larger than %d bytes", maxBody)

func readBody(body io.Reader) ([]byte, error) {
	if body == nil { // http.NewRequest without a body and without a server
		return nil, nil
	}
	data, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if len(data) > maxBody {
		// A client that is cut off while it writes may not see the response, so
		// take what it still sends, up to a point.
		_, _ = io.CopyN(io.Discard, body, 10*maxBody)
		return data[:maxBody], errTooLarge
	}
	return data, err
}
