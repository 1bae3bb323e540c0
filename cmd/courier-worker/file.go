package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// line is an update as publish reads it.
type line struct {
	ID      *string          `json:"id"`
	UserID  string           `json:"user_id"`
	Profile *courier.Profile `json:"profile"`
}

// id returns the ID in the line, or the one that the number of the line gives it.
func (l line) id(prefix string, number int) string {
	if l.ID != nil {
		return *l.ID
	}
	return prefix + strconv.Itoa(number)
}

// publish publishes the updates of a file in order, after it has checked all of them.
func publish(
	ctx, drain context.Context, js jetstream.JetStream, s settings,
	in io.Reader, out, logs io.Writer,
) error {
	q, err := openQueue(ctx, js, s)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp("", "courier-worker-*.ndjson") // only for this user to read
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	// At once, so that nothing is left of it however the program ends. Windows refuses that.
	_ = os.Remove(file.Name())
	hash := sha256.New()
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.MultiWriter(file, hash), in)
		copied <- err
	}()
	select {
	case err = <-copied:
	case <-drain.Done(): // the copying ends with the process
		err = job.ErrInterrupted
	}
	if err != nil {
		return fmt.Errorf("%w; nothing was published", err)
	}
	// An update without an id is known by the hash of the file and its line. So publishing
	// the file again repeats nothing, and no line of another file is mistaken for it.
	prefix := fmt.Sprintf("%x-", hash.Sum(nil)[:16])
	publisher := &Publisher{q}
	if err := check(drain, file, prefix, publisher); err != nil {
		return fmt.Errorf("%w; nothing was published", err)
	}

	var published, duplicates atomic.Int64
	counts := func() string {
		return fmt.Sprintf("%s published, %s already there",
			job.Number(published.Load()), job.Number(duplicates.Load()))
	}
	progress := job.StartProgress(logs, func() job.Status { return job.Status{Text: counts()} })
	err = eachLine(drain, file, js.Conn().MaxPayload(), func(number int, l line) error {
		ack, err := publisher.Publish(ctx, l.id(prefix, number), l.UserID, *l.Profile)
		switch {
		case err != nil:
			return err
		case ack.Duplicate:
			duplicates.Add(1)
		default:
			published.Add(1)
		}
		return nil
	})
	progress.Stop()
	fmt.Fprintln(out, counts())
	if err != nil {
		return fmt.Errorf("%w (to resume, publish the same file again)", err)
	}
	return nil
}

// check refuses a file with a line that cannot be published.
func check(
	drain context.Context, file io.ReadSeeker, prefix string, publisher *Publisher,
) error {
	var ids []string // of the first updates
	most := int(publisher.queue.stream.CachedInfo().Config.MaxMsgSize)
	maxSize := publisher.queue.js.Conn().MaxPayload()
	err := eachLine(drain, file, maxSize, func(number int, l line) error {
		id := l.id(prefix, number)
		ids = append(ids, id)[:min(len(ids)+1, 3)]
		msg, err := publisher.message(id, l.UserID, l.Profile)
		if err == nil && msg.Size() > most {
			err = fmt.Errorf("its message has %d bytes, and the stream takes at most %d",
				msg.Size(), most)
		}
		return err
	})
	if err == nil && isCounting(ids) {
		err = fmt.Errorf(`the ids count %s, and if those of another file do too, updates are `+
			`taken for repetitions and lost: leave "id" out, or use ids that no other update `+
			`ever has`, strings.Join(ids, ", "))
	}
	return err
}

// isCounting reports whether ids are numbers of lines.
func isCounting(ids []string) bool {
	for i, id := range ids {
		n, err := strconv.Atoi(id)
		first, _ := strconv.Atoi(ids[0])
		if err != nil || first > 1 || n != first+i {
			return false
		}
	}
	return len(ids) > 0
}

// eachLine calls do for each update of a file, until drain ends.
func eachLine(
	drain context.Context, file io.ReadSeeker, maxSize int64,
	do func(number int, l line) error,
) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, int(maxSize))
	number := 1
	for ; lines.Scan(); number++ {
		text := lines.Bytes()
		if number == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		if drain.Err() != nil {
			return job.ErrInterrupted
		}
		l, err := readLine(text)
		if err == nil {
			err = do(number, l)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
	err := lines.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("line %d: it is longer than the %d bytes of a NATS message",
			number, maxSize)
	}
	if err != nil {
		return fmt.Errorf("line %d: %w", number, err)
	}
	return nil
}

func readLine(text []byte) (l line, err error) {
	if !utf8.Valid(text) {
		return l, errors.New("the text is not UTF-8")
	}
	err = decode(text, &l, json.RejectUnknownMembers(true))
	wrong, _ := errors.AsType[*json.SemanticError](err)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, json.ErrUnknownName):
		return l, fmt.Errorf("there is no key %q: use id, user_id, and profile",
			wrong.JSONPointer.LastToken())
	case wrong != nil && wrong.GoType == reflect.TypeFor[string]():
		return l, fmt.Errorf("%q must be a string", wrong.JSONPointer.LastToken())
	}
	return l, withoutText(err)
}
