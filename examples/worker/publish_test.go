package main

import (
	"strings"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

// Publishers of other releases, and in other languages, have to come to the same.
func TestPartition(t *testing.T) {
	for user, want := range map[string]int{"user-1": 52, "": 5, "ü/?*>. ": 30} {
		if got := partition(user); got != want {
			t.Errorf("partition(%q) is %d, want %d", user, got, want)
		}
	}
}

func TestPublishRefuses(t *testing.T) {
	_, js := newNATS(t)
	newStream(t, js)
	tests := []struct {
		name, id, user string
		profile        courier.Profile
		want           string
	}{
		{"no id", "", "user-1", courier.Profile{}, "id of the update"},
		{"an id that is no header", "a\nb", "user-1", courier.Profile{}, "id of the update"},
		{"no user", "1", "", courier.Profile{}, "not of the form"},
		{"a user that is not UTF-8", "1", "\xff", courier.Profile{}, "not UTF-8"},
		{"a profile that is no JSON", "1", "user-1", courier.Profile{Extra: map[string]any{"f": func() {}}}, "f"},
		{"too large", "1", "user-1", courier.Profile{Email: courier.Set(strings.Repeat("x", 1<<20-headroom))}, "exceeds maximum"},
	}
	for _, test := range tests {
		_, err := Publish(stuckContext(t), js, test.id, test.user, test.profile)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error: %v, want %q", test.name, err, test.want)
		}
	}
}
