package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"POST /profiles/{user_id}",
		"http.request.resend_count = 1",
		"error.type = invalid_request",
		`courier_calls_total{error="none",operation="merge profile",status="200"} 2`,
		`courier_calls_total{error="invalid_request",operation="merge profile",status="400"} 1`,
		`courier_attempts_total{error="server",operation="merge profile",status="503"} 1`,
		`courier_retries_total{operation="merge profile"} 1`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}
