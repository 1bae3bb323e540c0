package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"

	courier "github.com/courier-profiles/courier-go"
)

// update is the payload of a message.
type update struct {
	UserID  string           `json:"user_id"`
	Profile *courier.Profile `json:"profile"`
}

// line is an update as "worker publish" reads it.
type line struct {
	ID string `json:"id"`
	update
}

// errMalformed does not quote the message, which is personal data and is in the
// dead letter anyway.
var errMalformed = errors.New(`not an update of the form {"user_id": "…", "profile": {…}}`)

func (u update) check() error {
	if u.UserID == "" || u.Profile == nil {
		return errMalformed
	}
	return nil
}

// decode reads JSON. It checks for UTF-8 because encoding/json would replace
// invalid bytes by U+FFFD.
func decode(data []byte, v any) error {
	if !utf8.Valid(data) || json.Unmarshal(data, v) != nil {
		return errMalformed
	}
	return nil
}

// Publisher stores updates in the stream. It is safe for concurrent use.
type Publisher struct {
	js jetstream.JetStream

	mu     sync.Mutex
	layout layout
}

// NewPublisher returns a Publisher. The stream has to exist.
func NewPublisher(ctx context.Context, js jetstream.JetStream) (*Publisher, error) {
	q, err := findQueue(ctx, js)
	if err != nil {
		return nil, err
	}
	return &Publisher{js: js, layout: q.current}, nil
}

// Publish stores an update behind those of the same user that were published
// before. When it returns without an error, the update is stored.
//
// The updateID identifies the update forever. It is the Nats-Msg-Id, by which
// the stream recognizes a repetition within its duplicate window, and the worker
// derives Courier's idempotency key from it. After an error, publish the update
// again with the same ID, before any later update of the user.
func (p *Publisher) Publish(ctx context.Context, updateID, userID string, profile courier.Profile) (*jetstream.PubAck, error) {
	if !isPrintableASCII(updateID) {
		return nil, errors.New("the ID of the update must be one or more printable ASCII characters without spaces")
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
	for {
		l := p.current()
		ack, err := p.js.Publish(ctx, l.of(userID), payload, jetstream.WithMsgID(updateID))
		// The stream has no such subject: perhaps it has other partitions now.
		if !errors.Is(err, jetstream.ErrNoStreamResponse) || !p.refresh(ctx, l) {
			return ack, err
		}
	}
}

func (p *Publisher) current() layout {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.layout
}

// refresh reads the layout again and reports whether it has changed.
func (p *Publisher) refresh(ctx context.Context, before layout) bool {
	q, err := findQueue(ctx, p.js)
	if err != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.layout = q.current
	return p.layout != before
}

func isPrintableASCII(text string) bool {
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return text != ""
}

// publishLines publishes one update a line, {"id": …, "user_id": …, "profile":
// {…}}, in order. It returns how many were new to the stream.
func publishLines(ctx context.Context, p *Publisher, in io.Reader) (published, duplicates int, err error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, int(p.js.Conn().MaxPayload())+headroom)
	number := 0
	for ; lines.Scan(); number++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var l line
		err := decode(lines.Bytes(), &l)
		if err == nil {
			err = l.check()
		}
		var ack *jetstream.PubAck
		if err == nil {
			ack, err = p.Publish(ctx, l.ID, l.UserID, *l.Profile)
		}
		switch {
		case err != nil:
			return published, duplicates, stoppedAt(number+1, err)
		case ack.Duplicate:
			duplicates++
		default:
			published++
		}
	}
	if err := lines.Err(); err != nil {
		return published, duplicates, stoppedAt(number+1, err)
	}
	return published, duplicates, nil
}

func stoppedAt(number int, err error) error {
	return fmt.Errorf("line %d: %w (the lines before it are published: fix it and resume there)", number, err)
}
