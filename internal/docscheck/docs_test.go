// Package docscheck vets the Go code in README.md and docs.
package docscheck

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	// What the documents show: a change there invalidates go test's cached result.
	_ "github.com/courier-profiles/courier-go"
	_ "github.com/courier-profiles/courier-go/couriertest"
)

const root = "../.."

// prelude has the variables that a block may use, and prelude.go of every block's package.
const prelude = `package docs

import (
	"context"
	"iter"
	"testing"

	courier "github.com/courier-profiles/courier-go"
)

var (
	ctx    context.Context
	t      *testing.T
	client *courier.Client
	err    error

	apiKey, userID string
	profile        courier.Profile
	updates        iter.Seq2[string, courier.Profile]
)
`

// imports are the packages that a block may use without an import.
var imports = []string{
	"bytes", "context", "crypto/tls", "database/sql", "encoding/json", "errors", "fmt", "io",
	"iter", "log", "log/slog", "maps", "net/http", "net/url", "os", "slices", "strings",
	"testing", "time",
	"github.com/courier-profiles/courier-go/couriertest",
	"github.com/google/go-cmp/cmp",
	"github.com/jarcoal/httpmock",
}

// Every block that begins with ```go becomes a package of a module that requires this one,
// and go vet has to accept them. A block is a file, declarations, or statements. The line
// above a block can have declarations for it, as in <!-- go: var db *sql.DB -->. A block for
// the official SDK or an earlier version is left out: one that imports it, or begins with
// "// before".
func TestDocuments(t *testing.T) {
	t.Parallel()
	documents, err := filepath.Glob(root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	module := newModule(t)
	count := 0
	for _, document := range append(documents, root+"/README.md") {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks(filepath.Base(document), string(text)) {
			if b.isForAnother() {
				continue
			}
			count++
			folder := filepath.Join(module, fmt.Sprint("block", count))
			write(t, filepath.Join(folder, "block.go"), b.source())
			if !b.isFile() {
				write(t, filepath.Join(folder, "prelude.go"), prelude)
			}
		}
	}
	if count == 0 {
		t.Fatal("the documents have no Go code")
	}
	// What source appends to a block may stand behind a return.
	vet := exec.CommandContext(t.Context(), "go", "vet", "-unreachable=false", "./...")
	vet.Dir = module
	if out, err := vet.CombinedOutput(); err != nil {
		t.Errorf("go vet of the code in the documents: %v\n%s", err, out)
	}
}

// newModule returns the folder of a new module, which requires this one and what it
// requires.
func newModule(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	goMod, err := os.ReadFile(root + "/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	goSum, err := os.ReadFile(root + "/go.sum")
	if err != nil {
		t.Fatal(err)
	}
	absolute, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	_, requirements, _ := strings.Cut(string(goMod), "\n")
	write(t, filepath.Join(folder, "go.mod"), "module example.com/docs\n"+requirements+
		"\nrequire github.com/courier-profiles/courier-go v0.0.0\n"+
		"\nreplace github.com/courier-profiles/courier-go => "+absolute+"\n")
	write(t, filepath.Join(folder, "go.sum"), string(goSum))
	return folder
}

// block is the Go code of one block of a document.
type block struct {
	document string
	line     int // of the first line of text
	text     string
	declared string // in a comment above it
}

func blocks(document, text string) []block {
	var all []block
	var current *block
	above := ""
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case current != nil && trimmed == "```":
			all = append(all, *current)
			current = nil
		case current != nil:
			current.text += line + "\n"
		case trimmed == "```go":
			declared, isComment := strings.CutPrefix(above, "<!-- go: ")
			current = &block{document: document, line: i + 2}
			if isComment {
				current.declared = strings.TrimSuffix(declared, " -->")
			}
		}
		above = trimmed
	}
	return all
}

func (b block) isForAnother() bool {
	return strings.HasPrefix(b.text, "// before") ||
		strings.Contains(b.text, `"github.com/trycourier/courier-go/`)
}

func (b block) isFile() bool { return strings.HasPrefix(b.text, "package ") }

// source returns the block as a Go file. Messages have the lines of the document.
func (b block) source() string {
	position := fmt.Sprintf("//line %s:%d\n", b.document, b.line)
	header := "package docs\n" + b.imports() + b.declared + "\n"
	switch {
	case b.isFile():
		return position + b.text
	case parses("package docs\n" + b.text):
		return header + position + b.text
	}
	text := "func _() error {\n" + position + b.text
	return header + text + "\n" + unused(text+"\n}") + "return nil\n}\n"
}

// imports returns the imports that the block needs and does not have.
func (b block) imports() string {
	var all strings.Builder
	for _, path := range append(imports, "github.com/courier-profiles/courier-go") {
		name := path[strings.LastIndex(path, "/")+1:]
		if name == "courier-go" {
			name = "courier"
		}
		uses := regexp.MustCompile(`\b` + name + `\.`).MatchString(b.text + b.declared)
		if uses && !strings.Contains(b.text, `"`+path+`"`) {
			fmt.Fprintf(&all, "import %s %q\n", name, path)
		}
	}
	return all.String()
}

func parses(source string) bool {
	_, err := parser.ParseFile(token.NewFileSet(), "", source, 0)
	return err == nil
}

// unused returns assignments to nothing of what a function's own statements declare,
// because a variable that a document does not use further is no mistake.
func unused(function string) string {
	file, err := parser.ParseFile(token.NewFileSet(), "", "package docs\n"+function, 0)
	if err != nil {
		return "" // go vet says it
	}
	var all strings.Builder
	for _, statement := range file.Decls[0].(*ast.FuncDecl).Body.List {
		for _, name := range declared(statement) {
			if name.Name != "_" {
				fmt.Fprintf(&all, "_ = %s\n", name.Name)
			}
		}
	}
	return all.String()
}

// declared returns the variables that a statement declares.
func declared(statement ast.Stmt) []*ast.Ident {
	var names []*ast.Ident
	switch s := statement.(type) {
	case *ast.AssignStmt:
		if s.Tok == token.DEFINE {
			for _, left := range s.Lhs {
				names = append(names, left.(*ast.Ident))
			}
		}
	case *ast.DeclStmt:
		for _, spec := range s.Decl.(*ast.GenDecl).Specs {
			if variables, ok := spec.(*ast.ValueSpec); ok {
				names = append(names, variables.Names...)
			}
		}
	}
	return names
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
