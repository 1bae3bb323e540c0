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

	store store
	keys  idempotencyKeys

	mu       sync.Mutex
	received int // requests, kept or not
	requests []Request
	faults   []Fault
}

// NewHandler returns a handler without any data.
func NewHandler() *Handler {
	return &Handler{APIKey: DefaultAPIKey}
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
	// net/http notices that a client has gone away, which ends a delay, only once
	// the body has been read.
	body, bodyErr := readBody(r.Body)
	path := r.URL.EscapedPath()
	userID, endpoints := resource(path)
	c := call{userID: userID, query: r.URL.Query(), body: body}
	i := slices.IndexFunc(endpoints, func(e endpoint) bool { return e.method == r.Method })
	request := Request{
		Method: r.Method, Path: path, UserID: userID,
		Query: c.query, Header: r.Header.Clone(), Body: body,
	}
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
			serve, finish = h.keys.claim(r.Header, serve)
		}
	}
	resp := fault.apply(r.Context(), serve)
	finish(resp)
	if !resp.lost {
		h.setStatus(number, resp.status)
	}
	resp.write(w, number+1)
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
