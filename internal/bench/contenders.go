package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/hashicorp/go-retryablehttp"

	courier "github.com/courier-profiles/courier-go"
)

const (
	byHand    = "net/http by hand" // ratios are to this one
	thisOne   = "courier-go"
	retryable = "go-retryablehttp"
	restyName = "resty"
)

const (
	apiKey      = "key"
	agent       = "courier-profiles-go/" + courier.Version // as package courier sends it
	deadline    = 30 * time.Second                         // as package courier's, of an attempt
	retries     = 3                                        // as package courier's
	maxResponse = 1 << 20
)

// contender is a way to call the API.
type contender struct {
	name string
	open func(endpoint) (client, error)
}

// client is a contender that is ready. Its functions are nil if it is not measured in them.
type client struct {
	merge    func(ctx context.Context, userID string, fields int) (status string, err error)
	get      func(ctx context.Context, userID string) (response any, err error)
	mergeAll func(ctx context.Context, inFlight int, more func() bool) (merged int, err error)
	close    func() // idle connections
}

// contenders returns all contenders, of which the first two are measured in every row.
func contenders() []contender {
	return []contender{
		{byHand, openByHand},
		{thisOne, openCourier},
		{retryable, openRetryable},
		{restyName, openResty},
	}
}

func openCourier(e endpoint) (client, error) {
	c, err := courier.NewClient(apiKey,
		courier.WithBaseURL(e.url),
		courier.WithHTTPClient(&http.Client{Transport: e.courierPool()}))
	if err != nil {
		return client{}, err
	}
	return client{
		merge: func(ctx context.Context, userID string, fields int) (string, error) {
			result, err := c.Profiles.Merge(ctx, userID, courierProfile(fields))
			if err != nil {
				return "", err
			}
			return result.Status, nil
		},
		get: func(ctx context.Context, userID string) (any, error) {
			return c.Profiles.Get(ctx, userID)
		},
		mergeAll: func(ctx context.Context, inFlight int, more func() bool) (int, error) {
			return mergeAll(ctx, c, inFlight, more)
		},
		close: c.CloseIdleConnections,
	}, nil
}

// openByHand is what a careful programmer writes: a shared pool, a struct, a deadline, the
// status checked, the body read to its end and closed. It makes one attempt.
func openByHand(e endpoint) (client, error) {
	c := &http.Client{Transport: e.pool()}
	send := func(ctx context.Context, method, userID string, body []byte, response any) error {
		// Client.Timeout would start goroutines for each call on the transport in memory.
		ctx, cancel := context.WithTimeout(ctx, deadline)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, method, profileURL(e, userID),
			bytes.NewReader(body))
		if err != nil {
			return err
		}
		setHeader(req.Header, body != nil)
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		return decode(resp, response)
	}
	merge := func(ctx context.Context, userID string, fields int) (string, error) {
		body, err := json.Marshal(handRequest{newHandProfile(fields)})
		if err != nil {
			return "", err
		}
		var response status
		if err := send(ctx, http.MethodPost, userID, body, &response); err != nil {
			return "", err
		}
		return response.checked()
	}
	return client{
		merge: merge,
		get: func(ctx context.Context, userID string) (any, error) {
			response := new(handResponse)
			err := send(ctx, http.MethodGet, userID, nil, response)
			return response, err
		},
		mergeAll: func(ctx context.Context, inFlight int, more func() bool) (int, error) {
			return mergePool(ctx, merge, inFlight, more)
		},
		close: c.CloseIdleConnections,
	}, nil
}

func profileURL(e endpoint, userID string) string {
	return e.url + "/profiles/" + url.PathEscape(userID)
}

func setHeader(header http.Header, hasBody bool) {
	header.Set("Accept", "application/json")
	header.Set("Authorization", "Bearer "+apiKey)
	header.Set("User-Agent", agent)
	if hasBody {
		header.Set("Content-Type", "application/json")
	}
}

// decode reads the whole response, so that the connection can be reused.
func decode(resp *http.Response, response any) error {
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return json.Unmarshal(text, response)
}

// status is the response to a merge.
type status struct {
	Status string `json:"status"`
}

func (s status) checked() (string, error) {
	if s.Status != "SUCCESS" {
		return "", fmt.Errorf("status %q", s.Status)
	}
	return s.Status, nil
}

// openRetryable makes up to four attempts, with one deadline for all of them.
func openRetryable(e endpoint) (client, error) {
	c := retryablehttp.NewClient()
	c.HTTPClient = &http.Client{Transport: e.pool()}
	c.RetryMax = retries
	c.Logger = nil
	merge := func(ctx context.Context, userID string, fields int) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, deadline)
		defer cancel()
		body, err := json.Marshal(handRequest{newHandProfile(fields)})
		if err != nil {
			return "", err
		}
		req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost,
			profileURL(e, userID), body)
		if err != nil {
			return "", err
		}
		setHeader(req.Header, true)
		resp, err := c.Do(req)
		if err != nil {
			return "", err
		}
		var response status
		if err := decode(resp, &response); err != nil {
			return "", err
		}
		return response.checked()
	}
	return client{merge: merge, close: c.HTTPClient.CloseIdleConnections}, nil
}

// openResty makes up to four attempts, with one deadline for all of them.
func openResty(e endpoint) (client, error) {
	c := resty.New().
		SetTransport(e.pool()).
		SetBaseURL(e.url).
		SetAuthToken(apiKey).
		SetRetryCount(retries).
		SetHeader("Accept", "application/json").
		SetHeader("Content-Type", "application/json").
		SetHeader("User-Agent", agent)
	merge := func(ctx context.Context, userID string, fields int) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, deadline)
		defer cancel()
		var response status
		resp, err := c.R().
			SetContext(ctx).
			SetPathParam("user_id", userID).
			SetBody(handRequest{newHandProfile(fields)}).
			SetResult(&response).
			Post("/profiles/{user_id}")
		if err != nil {
			return "", err
		}
		if !resp.IsSuccess() {
			return "", fmt.Errorf("status %d", resp.StatusCode())
		}
		return response.checked()
	}
	return client{merge: merge, close: c.GetClient().CloseIdleConnections}, nil
}
