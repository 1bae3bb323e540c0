package main

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
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

var (
	// A profile keeps text that Go cannot hold, such as half of an emoji.
	anyText = jsontext.AllowInvalidUTF8(true)
	// An ID with such text is refused: the IDs of two users could become the same.
	strictStrings = json.WithUnmarshalers(json.UnmarshalFromFunc(
		func(decoder *jsontext.Decoder, text *string) error {
			value, err := decoder.ReadValue()
			if err != nil {
				return err
			}
			return json.Unmarshal(value, text)
		}))
)

// decode reads JSON. It refuses a name that appears twice, in a profile too, because
// nobody knows which value is meant. Other errors may quote the JSON.
func decode(data []byte, v any, opts ...json.Options) error {
	if !utf8.Valid(data) {
		return errMalformed
	}
	err := json.Unmarshal(data, v, append(opts, anyText, strictStrings)...)
	isTwice := errors.Is(err, jsontext.ErrDuplicateName)
	if isTwice || err == nil && !jsontext.Value(data).IsValid(anyText) {
		return errTwice
	}
	return err
}

// withoutText returns an error of decode without what is personal data, and is in the dead
// letter anyway.
func withoutText(err error) error {
	if errors.Is(err, errTwice) {
		return errTwice
	}
	return errMalformed
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
	msg, err := p.message(updateID, userID, &profile)
	if err != nil {
		return nil, err
	}
	ack, err := p.queue.js.PublishMsg(ctx, msg)
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		err = fmt.Errorf("there is no stream with %d partitions any more: create a new Publisher: %w",
			p.queue.partitions, err)
	}
	return ack, err
}

// message returns the message of an update.
func (p *Publisher) message(
	updateID, userID string, profile *courier.Profile,
) (*nats.Msg, error) {
	if !isPrintableASCII(updateID) {
		return nil, errors.New("the ID of the update must be one or more printable ASCII " +
			"characters without spaces")
	}
	if !utf8.ValidString(userID) {
		return nil, errors.New("the user ID is not UTF-8")
	}
	u := update{UserID: userID, Profile: profile}
	if err := u.check(); err != nil {
		return nil, err
	}
	payload, err := json.Marshal(u, anyText)
	if err != nil {
		return nil, err
	}
	msg := nats.NewMsg(p.queue.subjectOf(userID))
	msg.Header.Set(jetstream.MsgIDHeader, updateID)
	msg.Data = payload
	return msg, nil
}

func isPrintableASCII(text string) bool {
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return text != ""
}
