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

// maxBody is how large a request may be. It is this package's own bound; the
// API reference says that there is one, not where.
const maxBody = 4 << 20

// Handler is the Profiles API in memory, as an http.Handler for a server of the
// caller's own; a Server is the two in one. It serves paths that begin with
// /profiles/; to mount it below a prefix, wrap it in http.StripPrefix.
//
// A Handler is safe for concurrent use. Its fields are to be set before the
// first request.
type Handler struct {
	// APIKey is the key to accept. NewHandler sets it to DefaultAPIKey.
	APIKey string

	// PageSize is how many subscriptions a page of a list holds. Anything below
	// 1 is the default of 3, small so that a test meets a second page.
	PageSize int

	// MaxRequests is how many requests are kept for Requests, the latest ones. 0
	// keeps all of them, which takes memory in a test of a million; a negative
	// number keeps none.
	MaxRequests int

	store store
	keys  idempotencyKeys

	mu       sync.Mutex
	received int // requests, kept or not
	requests []Request
	faults   []Fault
}

// NewHandler returns the API without any user.
func NewHandler() *Handler {
	return &Handler{APIKey: DefaultAPIKey}
}

// call is a request to an endpoint.
type call struct {
	userID string
	query  url.Values
	body   []byte
}

// object reads a body that has to be a JSON object.
func (c call) object() (map[string]any, error) {
	object, err := decodeObject(c.body)
	if err != nil {
		return nil, fmt.Errorf("request body: %w", err)
	}
	return object, nil
}

// endpoint is an operation of the API.
type endpoint struct {
	method, name string
	serve        func(*Handler, call) answer
}

// resource returns the endpoints at a path, given as it was sent, and the user
// id in it. It splits before it decodes, so that an encoded slash is part of the
// id; http.ServeMux decodes first, and cleans.
func resource(escapedPath string) (userID string, endpoints []endpoint) {
	segments := strings.Split(escapedPath, "/")
	if len(segments) < 3 || segments[0] != "" || segments[1] != "profiles" {
		return "", nil
	}
	userID, err := url.PathUnescape(segments[2])
	if err != nil || userID == "" || userID == "." || userID == ".." {
		// Dot segments never reach a server whose path is normalised on the way
		// (RFC 3986, section 6.2.2.3).
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

// ServeHTTP answers one request. It panics with http.ErrAbortHandler, which
// net/http servers expect, where a Fault leaves an answer unfinished.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// All of the body first: net/http notices a client that goes away only
	// after that, and a delay has to end then.
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

	serve := func() answer { return endpoints[i].serve(h, c) }
	finish := func(answer) {}
	switch {
	case !h.authorized(r.Header):
		serve = refusal(http.StatusUnauthorized, "the API key is missing or wrong")
	case endpoints == nil:
		serve = refusal(http.StatusNotFound, "no such resource")
	case i < 0:
		serve = func() answer { return methodNotAllowed(endpoints) }
	case errors.Is(bodyErr, errTooLarge):
		serve = refusal(http.StatusRequestEntityTooLarge, bodyErr.Error())
	case bodyErr != nil:
		serve = refusal(http.StatusBadRequest, "request body: "+bodyErr.Error())
	case r.Method == http.MethodPost:
		serve, finish = h.keys.claim(r.Header, serve)
	}
	a := fault.apply(r.Context(), serve)
	finish(a)
	if !a.lost {
		h.answered(number, a.status)
	}
	a.write(w, number+1)
}

func (h *Handler) authorized(header http.Header) bool {
	scheme, key, _ := strings.Cut(header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer") && key == h.APIKey && key != ""
}

func methodNotAllowed(endpoints []endpoint) answer {
	methods := make([]string, len(endpoints))
	for i, e := range endpoints {
		methods[i] = e.method
	}
	a := refuse(http.StatusMethodNotAllowed, "the resource does not have this method")
	a.header = http.Header{"Allow": {strings.Join(methods, ", ")}}
	return a
}

var errTooLarge = fmt.Errorf("request body is larger than %d bytes", maxBody)

func readBody(body io.Reader) ([]byte, error) {
	if body == nil { // a client's request, handed over without a server between
		return nil, nil
	}
	data, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if len(data) > maxBody {
		// A client that is cut off while it writes may not see the answer, so
		// take in what it still sends, within reason.
		_, _ = io.CopyN(io.Discard, body, 16*maxBody)
		return data[:maxBody], errTooLarge
	}
	return data, err
}
