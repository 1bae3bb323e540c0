package main

import (
	"strings"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

// Publishers of other releases, and in other languages, have to agree.
func TestLayout(t *testing.T) {
	t.Parallel()
	tests := []struct {
		layout          layout
		user            string
		subject, worker string
	}{
		{layout{oldSubject, 64}, "user-1", "courier.profiles.52", "partition-52"},
		{layout{oldSubject, 64}, "", "courier.profiles.5", "partition-5"},
		{layout{oldSubject, 64}, "ü/?*>. ", "courier.profiles.30", "partition-30"},
		{newLayout(256), "user-1", "courier.profiles.256.116", "partition-256-116"},
		{newLayout(4096), "user-1", "courier.profiles.4096.2420", "partition-4096-2420"},
		{newLayout(1), "user-1", "courier.profiles.1.0", "partition-1-0"},
	}
	for _, test := range tests {
		if got := test.layout.of(test.user); got != test.subject {
			t.Errorf("%v: subject of %q: %s, want %s", test.layout, test.user, got, test.subject)
		}
		if got := test.layout.consumer(test.layout.partition(test.user)); got != test.worker {
			t.Errorf("%v: consumer of %q: %s, want %s", test.layout, test.user, got, test.worker)
		}
		if p, ok := test.layout.partitionOf(test.subject); !ok || p != test.layout.partition(test.user) {
			t.Errorf("%v: partition of %s: %d, %t", test.layout, test.subject, p, ok)
		}
	}
	for _, subject := range []string{"", "courier.profiles.64", "courier.profiles.-1", "courier.profiles.05", "courier.profiles.fence", "courier.profiles.256.5"} {
		if p, ok := (layout{oldSubject, 64}).partitionOf(subject); ok {
			t.Errorf("%q is partition %d, want none", subject, p)
		}
	}
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	newStreams(t, js, quick.partitions)
	p, err := NewPublisher(stuckContext(t), js)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, id, user string
		profile        courier.Profile
		want           string
	}{
		{"no id", "", "user-1", courier.Profile{}, "ID of the update"},
		{"an id that is no header", "a\nb", "user-1", courier.Profile{}, "ID of the update"},
		{"no user", "1", "", courier.Profile{}, "not an update of the form"},
		{"a user that is not UTF-8", "1", "\xff", courier.Profile{}, "not UTF-8"},
		{"a profile that is no JSON", "1", "user-1", courier.Profile{Extra: map[string]any{"f": func() {}}}, "f"},
		{"too large", "1", "user-1", courier.Profile{Email: courier.Set(strings.Repeat("x", 1<<20-headroom))}, "exceeds maximum"},
	}
	for _, test := range tests {
		_, err := p.Publish(stuckContext(t), test.id, test.user, test.profile)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error: %v, want %q", test.name, err, test.want)
		}
	}
}
