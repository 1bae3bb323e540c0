package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"

	courier "github.com/courier-profiles/courier-go"
)

// update is the payload of a message.
type update struct {
	UserID  string           `json:"user_id"`
	Profile *courier.Profile `json:"profile"`
}

func (u update) check() error {
	if u.UserID == "" || u.Profile == nil {
		return errMalformed
	}
	return nil
}

// decode reads JSON. It checks for UTF-8 because encoding/json would replace invalid bytes
// by U+FFFD.
func decode(data []byte, v any) error {
	if !utf8.Valid(data) || json.Unmarshal(data, v) != nil {
		return errMalformed
	}
	return nil
}

// Publisher stores updates in the stream. It is safe for concurrent use.
type Publisher struct{ queue *queue }

// NewPublisher returns a Publisher. The stream has to exist.
func NewPublisher(ctx context.Context, js jetstream.JetStream) (*Publisher, error) {
	q, err := findQueue(ctx, js)
	return &Publisher{q}, err
}

// Publish stores an update behind those of the same user that were published before. When
// it returns without an error, the update is stored.
//
// The updateID identifies the update forever. It is the Nats-Msg-Id, by which the stream
// recognizes a repetition within its duplicate window, and the worker derives Courier's
// idempotency key from it. After an error, publish the update again with the same ID,
// before any later update of the user.
func (p *Publisher) Publish(
	ctx context.Context, updateID, userID string, profile courier.Profile,
) (*jetstream.PubAck, error) {
	if !isPrintableASCII(updateID) {
		return nil, errors.New("the ID of the update must be one or more printable ASCII " +
			"characters without spaces")
	}
	if !utf8.ValidString(userID) {
		return nil, errors.New("the user ID is not UTF-8")
	}
	u := update{UserID: userID, Profile: &profile}
	if err := u.check(); err != nil {
		return nil, err
	}
	payload, err := json.Marshal(u)
	if err != nil {
		return nil, err
	}
	ack, err := p.queue.js.Publish(ctx, p.queue.subjectOf(userID), payload,
		jetstream.WithMsgID(updateID))
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		err = fmt.Errorf("there is no stream with %d partitions any more: create a new Publisher: %w",
			p.queue.partitions, err)
	}
	return ack, err
}

func isPrintableASCII(text string) bool {
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return text != ""
}
