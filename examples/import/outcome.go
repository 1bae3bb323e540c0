package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	courier "github.com/courier-profiles/courier-go"
)

// outcomeKind is what an outcome means for its row.
type outcomeKind int

const (
	merged  outcomeKind = iota
	refused             // the row is at fault, says Courier
	invalid             // the row is at fault, says the client, and was not sent
	trouble             // the row is not at fault, and retries were in vain
	denied              // the API key is at fault: nothing more is sent
	ended               // the import is being stopped
)

func classify(err error) outcomeKind {
	var (
		unsendable *courier.ValidationError
		bad        *courier.InvalidRequestError
		large      *courier.PayloadTooLargeError
		conflict   *courier.ConflictError
		key        *courier.AuthenticationError
		forbidden  *courier.PermissionError
	)
	switch {
	case err == nil:
		return merged
	case errors.As(err, &key), errors.As(err, &forbidden):
		return denied
	case errors.Is(err, errStopped), errors.Is(err, context.Canceled):
		return ended
	case errors.As(err, &unsendable):
		return invalid
	case errors.As(err, &bad), errors.As(err, &large), errors.As(err, &conflict):
		return refused
	}
	return trouble
}

// attempts returns how many requests an outcome took, at the least.
func attempts(err error) int {
	var (
		answer *courier.APIError
		lost   *courier.ConnectionError
	)
	switch {
	case errors.As(err, &answer):
		return answer.Attempts
	case errors.As(err, &lost):
		return lost.Attempts
	}
	return 0
}

// reasonOf returns the text of an error of the client in its shortest form.
func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "courier: "), "merge profile: ")
}

func outage(err error) error {
	return fmt.Errorf("%d rows in a row failed, which looks like an outage: %s", maxTroubles, reasonOf(err))
}
