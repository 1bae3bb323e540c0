// Package courier stands in for Courier's official SDK: it has the names that the
// program in the parent folder uses, and sends what the SDK would.
package courier

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/trycourier/courier-go/v4/option"
	"github.com/trycourier/courier-go/v4/packages/param"
	"github.com/trycourier/courier-go/v4/shared"
)

// Client is the SDK's client.
type Client struct{ Send SendService }

// NewClient returns a client.
func NewClient(opts ...option.RequestOption) Client {
	return Client{Send: SendService{Options: opts}}
}

// SendService sends messages.
type SendService struct{ Options []option.RequestOption }

// SendMessageParams is the body of a request.
type SendMessageParams struct {
	Message SendMessageParamsMessage `json:"message"`
}

// SendMessageParamsMessage is a message.
type SendMessageParamsMessage struct {
	Template param.Opt[string]               `json:"template,omitzero"`
	To       SendMessageParamsMessageToUnion `json:"to"`
}

// SendMessageParamsMessageToUnion is the recipient of a message.
type SendMessageParamsMessageToUnion struct {
	OfUserRecipient *shared.UserRecipientParam
}

// MarshalJSON writes the recipient.
func (u SendMessageParamsMessageToUnion) MarshalJSON() ([]byte, error) {
	return json.Marshal(u.OfUserRecipient)
}

// SendMessageResponse is the response to a message.
type SendMessageResponse struct {
	RequestID string `json:"requestId"`
}

// String returns an optional string that is set.
func String(s string) param.Opt[string] { return param.Opt[string]{Value: s} }

// Message sends a message.
func (s *SendService) Message(ctx context.Context, params SendMessageParams, opts ...option.RequestOption) (*SendMessageResponse, error) {
	var config option.Config
	for _, opt := range append(s.Options[:len(s.Options):len(s.Options)], opts...) {
		opt(&config)
	}
	body, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, config.BaseURL+"send", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+config.APIKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	response := new(SendMessageResponse)
	return response, json.NewDecoder(resp.Body).Decode(response)
}
