package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/hashicorp/go-retryablehttp"

	courier "github.com/courier-profiles/courier-go"
)

const (
	apiKey      = "key"
	agent       = "courier-profiles-go/" + courier.Version // what the SDK sends; the others send the same
	deadline    = 30 * time.Second                         // the SDK's default for an attempt
	retries     = 3                                        // the SDK's default
	maxResponse = 1 << 20
)

// contender is a way to merge profiles.
type contender struct {
	name  string
	about string // what a call does
	// open makes a client of the API at baseURL. A transport that is not nil
	// replaces the connection pool.
	open func(baseURL string, transport http.RoundTripper) (*client, error)
}

// client is a contender that is ready.
type client struct {
	merge func(ctx context.Context, userID string, fields int) error
	close func() // its idle connections
}

const (
	sdkName      = "courier-go"
	baselineName = "net/http, tuned"
)

// contenders returns all contenders; ratios are to the one named baselineName.
func contenders() []contender {
	return []contender{
		{sdkName, "typed profile, four attempts with a deadline of 30 s each, a retry budget, typed errors", openSDK},
		{baselineName, "a struct, a shared pool, a deadline of 30 s, status checked, body drained and closed; one attempt", openTuned(deadline)},
		{"net/http, no deadline", "the same without a deadline: a server that hangs hangs the caller", openTuned(0)},
		{"net/http, naive", "Courier's documentation: http.DefaultClient, text as body; no deadline, one attempt, status not checked", openNaive},
		{"go-retryablehttp", "the tuned one on retryablehttp.Client: four attempts, one deadline of 30 s for all of them", openRetryable},
		{"resty", "resty v2 on the tuned pool: four attempts, one deadline of 30 s for all of them", openResty},
	}
}

func openSDK(baseURL string, transport http.RoundTripper) (*client, error) {
	options := []courier.Option{courier.WithBaseURL(baseURL)}
	if transport != nil {
		options = append(options, courier.WithHTTPClient(&http.Client{Transport: transport}))
	}
	c, err := courier.NewClient(apiKey, options...)
	if err != nil {
		return nil, err
	}
	return &client{
		merge: func(ctx context.Context, userID string, fields int) error {
			_, err := c.Profiles.Merge(ctx, userID, courierProfile(fields))
			return err
		},
		close: c.CloseIdleConnections,
	}, nil
}

// newPool is the pool of all but the naive contender: as large as the SDK's, with
// the same timeouts, and without its pings and its shared start over HTTP/2.
func newPool() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 1024,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
	}
}

func poolOr(transport http.RoundTripper) http.RoundTripper {
	if transport == nil {
		return newPool()
	}
	return transport
}

func setHeader(header http.Header) {
	header.Set("Accept", "application/json")
	header.Set("Authorization", "Bearer "+apiKey)
	header.Set("Content-Type", "application/json")
	header.Set("User-Agent", agent)
}

// status is Courier's response.
type status struct {
	Status string `json:"status"`
}

func (s status) check() error {
	if s.Status != "SUCCESS" {
		return fmt.Errorf("status %q", s.Status)
	}
	return nil
}

// bounded returns a context with the deadline of a call. http.Client.Timeout does
// the same on net/http's own transport; on any other, such as the one in memory, it
// takes two goroutines per call.
func bounded(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

func openTuned(timeout time.Duration) func(string, http.RoundTripper) (*client, error) {
	return func(baseURL string, transport http.RoundTripper) (*client, error) {
		c := &http.Client{Transport: poolOr(transport)}
		return &client{
			merge: func(ctx context.Context, userID string, fields int) error {
				ctx, cancel := bounded(ctx, timeout)
				defer cancel()
				body, err := json.Marshal(handMade(fields))
				if err != nil {
					return err
				}
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, baseURL+"/profiles/"+url.PathEscape(userID), bytes.NewReader(body))
				if err != nil {
					return err
				}
				setHeader(req.Header)
				resp, err := c.Do(req)
				if err != nil {
					return err
				}
				return readResponse(resp)
			},
			close: c.CloseIdleConnections,
		}, nil
	}
}

// readResponse reads the whole response, so that the connection can be reused.
func readResponse(resp *http.Response) error {
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	var response status
	if err := json.Unmarshal(text, &response); err != nil {
		return err
	}
	return response.check()
}

// openNaive is the Go example on Courier's page "Create a profile", with the
// headers of the others, and with errors checked.
func openNaive(baseURL string, transport http.RoundTripper) (*client, error) {
	c := http.DefaultClient
	if transport != nil {
		c = &http.Client{Transport: transport}
	}
	return &client{
		merge: func(ctx context.Context, userID string, fields int) error {
			req, err := http.NewRequestWithContext(ctx, "POST", baseURL+"/profiles/"+userID, strings.NewReader(bodyText(fields)))
			if err != nil {
				return err
			}
			setHeader(req.Header)
			res, err := c.Do(req)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			_, err = io.ReadAll(res.Body)
			return err
		},
		close: c.CloseIdleConnections,
	}, nil
}

func openRetryable(baseURL string, transport http.RoundTripper) (*client, error) {
	c := retryablehttp.NewClient()
	c.HTTPClient = &http.Client{Transport: poolOr(transport)}
	c.RetryMax = retries
	c.Logger = nil
	return &client{
		merge: func(ctx context.Context, userID string, fields int) error {
			ctx, cancel := bounded(ctx, deadline)
			defer cancel()
			body, err := json.Marshal(handMade(fields))
			if err != nil {
				return err
			}
			req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, baseURL+"/profiles/"+url.PathEscape(userID), body)
			if err != nil {
				return err
			}
			setHeader(req.Header)
			resp, err := c.Do(req)
			if err != nil {
				return err
			}
			return readResponse(resp)
		},
		close: c.HTTPClient.CloseIdleConnections,
	}, nil
}

func openResty(baseURL string, transport http.RoundTripper) (*client, error) {
	c := resty.New().
		SetTransport(poolOr(transport)).
		SetBaseURL(baseURL).
		SetAuthToken(apiKey).
		SetRetryCount(retries).
		SetHeaders(map[string]string{
			"Accept":       "application/json",
			"Content-Type": "application/json",
			"User-Agent":   agent,
		})
	return &client{
		merge: func(ctx context.Context, userID string, fields int) error {
			ctx, cancel := bounded(ctx, deadline)
			defer cancel()
			var response status
			resp, err := c.R().
				SetContext(ctx).
				SetPathParam("user_id", userID).
				SetBody(handMade(fields)).
				SetResult(&response).
				Post("/profiles/{user_id}")
			if err != nil {
				return err
			}
			if !resp.IsSuccess() {
				return fmt.Errorf("status %d", resp.StatusCode())
			}
			return response.check()
		},
		close: c.GetClient().CloseIdleConnections,
	}, nil
}

const success = `{"status":"SUCCESS"}`

// memory reads every request and responds without a network.
type memory struct{}

func (memory) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil, err
	}
	if err := req.Body.Close(); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(success)),
		Request:    req,
	}, nil
}
