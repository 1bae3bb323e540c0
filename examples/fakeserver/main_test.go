package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	courier "github.com/courier-profiles/courier-go"
)

func TestServesUntilTheContextEnds(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-addr", "127.0.0.1:0", "-key", "key", "-fail", "429,503"}, in)
		in.CloseWithError(err)
		ended <- err
	}()

	lines := bufio.NewScanner(out)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "=")
		if t.Setenv(name, value); name == "COURIER_API_KEY" {
			break
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	client, err := courier.NewClientFromEnv(courier.WithMaxRetries(0))
	if err != nil {
		t.Fatal(err)
	}

	profile := courier.Profile{Email: courier.Set("ada@example.com")}
	var got []int
	for range 3 {
		result, err := client.Profiles.Merge(t.Context(), "user-1", profile)
		var refused *courier.APIError
		switch {
		case errors.As(err, &refused):
			got = append(got, refused.StatusCode)
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, result.StatusCode)
		}
	}
	if diff := cmp.Diff([]int{429, 503, 200}, got); diff != "" {
		t.Errorf("statuses of the first three merges (-want +got):\n%s", diff)
	}

	stop()
	if err := <-ended; err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"-key", ""},
		{"-addr", "127.0.0.1"},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("run(%q) started", args)
		}
	}
}
