package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/courier-profiles/courier-go/couriertest"
)

func TestFaultForm(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		form faultForm
		want couriertest.Fault
		text string
	}{
		{
			"a status", faultForm{Response: "status", Status: "503"},
			couriertest.Fault{Status: 503}, "1 request: 503 Service Unavailable",
		},
		{
			"a status that has no name", faultForm{Response: "status", Status: "599"},
			couriertest.Fault{Status: 599}, "1 request: 599",
		},
		{
			"Retry-After and a delay",
			faultForm{Response: "status", Status: "429", RetryAfter: "2", Delay: "1500"},
			couriertest.Fault{Status: 429, RetryAfter: "2", Delay: 1500 * time.Millisecond},
			"1 request: 429 Too Many Requests, Retry-After: 2, after 1.5s",
		},
		{
			"only a delay", faultForm{Response: "normal", Status: "503", Delay: "60000"},
			couriertest.Fault{Delay: time.Minute}, "1 request: the normal response, after 1m0s",
		},
		{
			"a response that breaks off", faultForm{Response: "cutoff", Status: "503"},
			couriertest.Fault{CutOff: true},
			"1 request: the normal response, cut off halfway",
		},
		{
			"a reset", faultForm{Response: "reset", Status: "503"},
			couriertest.Fault{Reset: true}, "1 request: connection reset",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.form.Count = "1"
			faults, err := test.form.faults()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]couriertest.Fault{test.want}, faults); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			if got := describe(faults[0], 1); got != test.text {
				t.Errorf("it is shown as %q, want %q", got, test.text)
			}
		})
	}
}

func TestFaultFormRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		form faultForm
		want string
	}{
		{faultForm{Count: "", Response: "reset"}, "requests: use a number from 1 to 1000"},
		{faultForm{Count: "0", Response: "reset"}, "requests: use a number"},
		{faultForm{Count: "1001", Response: "reset"}, "requests: use a number"},
		{faultForm{Count: "1"}, "response: choose one"},
		{faultForm{Count: "1", Response: "status"}, "status: use a number from 200 to 599"},
		{faultForm{Count: "1", Response: "status", Status: "100"}, "status: use a number"},
		{faultForm{Count: "1", Response: "status", Status: "600"}, "status: use a number"},
		{faultForm{Count: "1", Response: "normal"}, "changes nothing"},
		{faultForm{Count: "1", Response: "reset", RetryAfter: "1"}, "leave Retry-After empty"},
		{faultForm{Count: "1", Response: "reset", Delay: "60001"}, "delay: use a number"},
		{faultForm{Count: "1", Response: "reset", Delay: "-1"}, "delay: use a number"},
	} {
		if _, err := test.form.faults(); err == nil {
			t.Errorf("%+v is accepted", test.form)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: the error is %q, want %q", test.form, err, test.want)
		}
	}
}

// Faults that follow each other and are equal are one line.
func TestFaultQueues(t *testing.T) {
	t.Parallel()
	unavailable := couriertest.Fault{Status: 503}
	got, count := faultQueues(map[string][]couriertest.Fault{
		"user-1": {{Reset: true}},
		"":       {unavailable, unavailable, {CutOff: true}, unavailable},
	})
	want := []faultQueue{
		{"", []string{
			"2 requests: 503 Service Unavailable",
			"1 request: the normal response, cut off halfway",
			"1 request: 503 Service Unavailable",
		}},
		{"user-1", []string{"1 request: connection reset"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("queues (-want +got):\n%s", diff)
	}
	if count != 5 {
		t.Errorf("%d faults, want 5", count)
	}
}
