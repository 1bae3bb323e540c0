package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProgressText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name               string
		size, before, read int64
		now                counts
		took               time.Duration
		want               string
	}{
		{"half way", 2000, 0, 1000, counts{451234, 2}, 100 * time.Second, "451,234 rows, 4,512/s, 1m40s left, 3 retries, 2 rejected"},
		{"of unknown size", 0, 0, 1000, counts{10, 0}, time.Second, "10 rows, 10/s, 3 retries, 0 rejected"},
		{"at the start", 2000, 0, 0, counts{}, 0, "0 rows, 0/s, 3 retries, 0 rejected"},
		{"after what was settled before", 2000, 1000, 1500, counts{50, 0}, 10 * time.Second, "50 rows, 5/s, 10s left, 3 retries, 0 rejected"},
	} {
		p := &progress{in: &input{size: test.size}, before: test.before, gate: &gate{retries: 3}}
		if diff := cmp.Diff(test.want, p.text(test.now, test.read, test.took)); diff != "" {
			t.Errorf("%s: -want +got\n%s", test.name, diff)
		}
	}
}
