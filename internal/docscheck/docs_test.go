package docscheck

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	// What the documents show: a change there invalidates go test's cached result.
	_ "github.com/courier-profiles/courier-go"
	_ "github.com/courier-profiles/courier-go/couriertest"
)

const root = "../.."

// The tests share a checker, because go list takes most of their time.
var shared = sync.OnceValues(func() (*checker, error) { return newChecker(root) })

func TestDocuments(t *testing.T) {
	documents, err := filepath.Glob(root + "/docs/*.md")
	if err != nil || len(documents) == 0 {
		t.Fatalf("no documents in docs: %v", err)
	}
	c, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range append(documents, root+"/README.md") {
		t.Run(filepath.Base(document), func(t *testing.T) {
			text, err := os.ReadFile(document)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.check(filepath.Base(document), text); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	c, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		block string // after the text "# Title"
		want  string // part of the error; "" for none
	}{
		{"file", "```go\npackage main\n\nfunc main() { println(1) }\n```", ""},
		{"file with an unknown name", "```go\npackage main\n\nfunc main() { print1n(1) }\n```", "doc.md:5: undefined: print1n"},
		{"declarations", "```go\ntype limiter struct{ n int }\n\nfunc (l limiter) Wait(ctx context.Context) error { return ctx.Err() }\n```", ""},
		{"imports alone", "```go\nimport profiles \"github.com/courier-profiles/courier-go\"\n```", ""},
		{"statements", "```go\nresult, err := client.Profiles.Get(ctx, userID)\n```", ""},
		{"a mistake in statements", "```go\nname := \"x\"\nresult, err := client.Profiles.Get(ctx, 1)\n```", "doc.md:4: cannot use 1"},
		{"statements with an import", "```go\nimport \"math\"\n\nprofile.Email = math.Pi\n```", "doc.md:5: cannot use math.Pi"},
		{"an import of another name", "```go\nimport profiles \"github.com/courier-profiles/courier-go\"\n\nprofile.Email = profiles.Set(\"a\")\n```", ""},
		{"a value alone", "```go\ncourier.Profile{Email: courier.Null[string]()}\n```", ""},
		{"a mistake in a value alone", "```go\ncourier.Profile{Email: \"a\"}\n```", "doc.md:3: cannot use"},
		{"a return of the error", "```go\nif err != nil {\n\treturn err\n}\n```", ""},
		{"a name that was removed", "```go\npath := courier.Pointer(\"a\")\n```", "undefined: courier.Pointer"},
		{"an ellipsis", "```go\nif err != nil { … }\n```", "doc.md:3: "},
		{"an unknown package", "```go\nimport \"example.com/x\"\n\nx.F()\n```", "add it to imports"},
		{"before", "```go\n// before (0.1)\npath := courier.Pointer(\"a\")\n```", ""},
		{"before that does not parse", "```go\n// before\npath := courier.\n```", "doc.md:6: "},
		{"declared", "<!-- go: var db *sql.DB -->\n```go\nrows, err := db.QueryContext(ctx, \"select 1\")\n```", ""},
		{"declared for the next block only", "<!-- go: var db *sql.DB -->\n```go\n```\n```go\ndb.Close()\n```", "undefined: db"},
		{"from a file", "<!-- from: field.go -->\n```go\nfunc Set[T any](value T) Field[T] { return Field[T]{value: value, state: stateValue} }\n```", ""},
		{"not in the file", "<!-- from: field.go -->\n```go\nfunc Set2() {}\n```", "doc.md:4: the block is not in field.go"},
		{"a file that does not exist", "<!-- from: nofile.go -->\n```go\n```", "nofile.go"},
		{"another language", "```text\nif err != nil { … }\n```", ""},
		{"longer fence", "````md\n```go\n…\n```\n````", ""},
		{"indented", "1. Do this:\n\n   ```go\n   x := undefined\n   ```", "undefined: undefined"},
		{"no end", "```go\nx := 1\n", "doc.md:4: the last block has no end"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := c.check("doc.md", []byte("# Title\n"+test.block+"\n"))
			if test.want == "" && err != nil {
				t.Error(err)
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}
