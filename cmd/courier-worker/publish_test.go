package main

import (
	"strings"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	_, js := newNATS(t)
	newQueueOf(t, js, 16)
	p, err := NewPublisher(stuckContext(t), js)
	if err != nil {
		t.Fatal(err)
	}
	noJSON := courier.Profile{Extra: map[string]any{"f": func() {}}}
	tooLarge := courier.Profile{Email: courier.Set(strings.Repeat("x", 1<<20-headroom))}
	for _, test := range []struct {
		name, id, user string
		profile        courier.Profile
		want           string
	}{
		{"no ID", "", "user-1", courier.Profile{}, "ID of the update"},
		{"an ID that is no header", "a\nb", "user-1", courier.Profile{}, "ID of the update"},
		{"no user", "1", "", courier.Profile{}, "not an update of the form"},
		{"a user that is not UTF-8", "1", "\xff", courier.Profile{}, "not UTF-8"},
		{"a profile that is no JSON", "1", "user-1", noJSON, "f"},
		{"too large", "1", "user-1", tooLarge, "exceeds maximum"},
	} {
		_, err := p.Publish(stuckContext(t), test.id, test.user, test.profile)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.want)
		}
	}
}
