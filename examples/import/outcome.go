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
	refused             // by Courier, because of the row
	invalid             // refused by the client, because of the row
	trouble             // failed after all retries, not because of the row
	denied              // the API key is wrong: nothing more is sent
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

// attempts returns how many requests an outcome took, at least.
func attempts(err error) int {
	var (
		response *courier.APIError
		lost     *courier.ConnectionError
	)
	switch {
	case errors.Is(err, courier.ErrNotSent):
		return 0
	case errors.As(err, &response):
		return response.Attempts
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
