package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// errMalformed does not say what was there in place of an update: that is
// personal data, and whoever looks at the dead letter sees it.
var errMalformed = errors.New(`not of the form {"user_id": "…", "profile": {…}}`)

func (u update) check() error {
	if u.UserID == "" || u.Profile == nil {
		return errMalformed
	}
	return nil
}

// decode reads JSON, for which encoding/json would put U+FFFD in the place of
// what is not UTF-8.
func decode(data []byte, v any) error {
	if !utf8.Valid(data) || json.Unmarshal(data, v) != nil {
		return errMalformed
	}
	return nil
}

// Publish puts an update in line, behind those of the same user that were
// published before. When it returns without an error, the update is stored.
//
// The updateID names the update for ever: it is its Nats-Msg-Id, by which the
// stream recognises a repetition within its duplicate window, and the worker
// makes Courier's idempotency key of it. After an error, publish it again with
// the same id, before any later update of the user.
func Publish(ctx context.Context, js jetstream.JetStream, updateID, userID string, profile courier.Profile) (*jetstream.PubAck, error) {
	if !isPrintableASCII(updateID) {
		return nil, errors.New("the id of the update has to be one or more printable ASCII characters without spaces")
	}
	if !utf8.ValidString(userID) {
		return nil, errors.New("the user id is not UTF-8")
	}
	u := update{UserID: userID, Profile: &profile}
	if err := u.check(); err != nil {
		return nil, err
	}
	payload, err := json.Marshal(u)
	if err != nil {
		return nil, err
	}
	return js.Publish(ctx, subject(userID), payload, jetstream.WithMsgID(updateID))
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
// {…}}, in their order. It returns how many were new to the stream.
func publishLines(ctx context.Context, js jetstream.JetStream, in io.Reader) (published, duplicates int, err error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, int(js.Conn().MaxPayload())+headroom)
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
			ack, err = Publish(ctx, js, l.ID, l.UserID, *l.Profile)
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
	return fmt.Errorf("line %d: %w (the lines before it are published: mend it and go on from there)", number, err)
}
