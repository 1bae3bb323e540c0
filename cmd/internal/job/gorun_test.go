package job

import (
	"strings"
	"testing"
)

func TestIsGoRun(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/tmp/go-build123/b001/exe/courier-import":                   true,
		"/cache/44/" + strings.Repeat("4", 64) + "-d/courier-import": true,
		"/tmp/go-build123/b001/courier-import.test":                  false,
		"/usr/local/bin/courier-import":                              false,
		"courier-import":                                             false,
	} {
		if got := isGoRun(path); got != want {
			t.Errorf("%s: %t, want %t", path, got, want)
		}
	}
}
