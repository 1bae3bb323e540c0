package docscheck

// A block of a document that begins with ```go is type-checked. It can be a file,
// declarations, or statements. Declarations and statements may use the packages of
// imports without an import, and statements the variables of prelude. Unused variables
// and values alone are not errors. Blocks with another language, or none, are not
// checked.
//
//	// before …                    as the first line of a block: code for another version
//	                               or package, which only has to parse
//	<!-- go: var db *sql.DB -->    on the line above a block: declarations for the block
//	<!-- from: path/file.go -->    on the line above a block: the block is not
//	                               type-checked, but has to be part of that file, which
//	                               a compiler sees

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// imports are the packages that a block may use without an import.
var imports = map[string]string{
	"bytes": "bytes", "context": "context", "errors": "errors", "fmt": "fmt", "io": "io", "iter": "iter",
	"json": "encoding/json", "log": "log", "slog": "log/slog", "maps": "maps", "http": "net/http",
	"url": "net/url", "os": "os", "slices": "slices", "sql": "database/sql", "strings": "strings",
	"testing": "testing", "time": "time", "tls": "crypto/tls",
	"courier":     "github.com/courier-profiles/courier-go",
	"couriertest": "github.com/courier-profiles/courier-go/couriertest",
	"cmp":         "github.com/google/go-cmp/cmp",
	"httpmock":    "github.com/jarcoal/httpmock",
}

// prelude are the variables that statements may use.
const prelude = `
	ctx    context.Context
	t      *testing.T
	client *courier.Client
	err    error

	apiKey, userID string
	profile        courier.Profile
	updates        iter.Seq2[string, courier.Profile]
`

// checker checks documents against the packages of a module.
type checker struct {
	root     string // of the module; paths in documents start here
	fset     *token.FileSet
	importer types.Importer
}

// newChecker returns a checker for the module at root, which has to contain or require
// the packages of imports. It runs go list, which compiles what it needs.
func newChecker(root string) (*checker, error) {
	args := []string{"list", "-export", "-deps", "-f", "{{if .Export}}{{.ImportPath}}={{.Export}}{{end}}"}
	list := exec.Command("go", append(args, slices.Sorted(maps.Values(imports))...)...)
	list.Dir = root
	out, err := list.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil, fmt.Errorf("go list: %w: %s", err, exit.Stderr)
	} else if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		files[path] = file
	}
	fset := token.NewFileSet()
	open := func(path string) (io.ReadCloser, error) {
		if files[path] == "" {
			return nil, errors.New("docscheck does not know this package: add it to imports in check_test.go")
		}
		return os.Open(files[path])
	}
	return &checker{root: root, fset: fset, importer: importer.ForCompiler(fset, "gc", open)}, nil
}

// check returns what is wrong with the Go blocks of a document. The positions of the
// errors are lines of the document.
func (c *checker) check(name string, document []byte) error {
	blocks, err := parseBlocks(name, document)
	errs := []error{err}
	for _, b := range blocks {
		errs = append(errs, c.checkBlock(b))
	}
	return errors.Join(errs...)
}

// block is a block of Go code in a document.
type block struct {
	document string
	line     int // of the first line of text
	text     string
	declared string // by a comment above it
	from     string // the file that it is from
}

func parseBlocks(name string, document []byte) (blocks []block, err error) {
	var current *block
	fence, above := "", ""
	line := 0
	for text := range strings.Lines(string(document)) {
		line++
		trimmed := strings.TrimSpace(text)
		switch {
		case fence != "" && trimmed == fence:
			if current != nil {
				blocks = append(blocks, *current)
			}
			fence, current = "", nil
		case fence != "":
			if current != nil {
				current.text += text
			}
		case strings.HasPrefix(trimmed, "```"):
			language := strings.TrimLeft(trimmed, "`")
			fence = strings.TrimSuffix(trimmed, language)
			if language == "go" {
				current = &block{document: name, line: line + 1}
				current.declared = comment(above, "go:")
				current.from = comment(above, "from:")
			}
		}
		above = trimmed
	}
	if fence != "" {
		err = fmt.Errorf("%s:%d: the last block has no end", name, line)
	}
	return blocks, err
}

// comment returns what follows name in an HTML comment, or nothing if line is not one.
func comment(line, name string) string {
	text, ok := strings.CutPrefix(line, "<!-- "+name)
	if !ok {
		return ""
	}
	return strings.TrimSpace(strings.TrimSuffix(text, "-->"))
}

func (c *checker) checkBlock(b block) error {
	if b.from != "" {
		return c.checkFrom(b)
	}
	first, _, _ := strings.Cut(b.text, "\n")
	if strings.HasPrefix(first, "// before") {
		_, err := c.parse(b)
		return err
	}
	files, err := c.parse(b)
	if err != nil {
		return err
	}
	var errs []error
	config := types.Config{
		Importer: c.importer,
		Error: func(err error) {
			// Soft errors are unused variables and imports. A value alone shows what to pass.
			typed := types.Error{}
			if errors.As(err, &typed) && !typed.Soft && !strings.HasSuffix(typed.Msg, "is not used") {
				errs = append(errs, err)
			}
		},
	}
	_, _ = config.Check(b.document, c.fset, files, nil) // its errors are in errs
	return errors.Join(errs...)
}

// checkFrom reports whether the file of a block contains it, at any indentation.
func (c *checker) checkFrom(b block) error {
	file, err := os.ReadFile(filepath.Join(c.root, filepath.FromSlash(b.from)))
	if err != nil {
		return fmt.Errorf("%s:%d: %w", b.document, b.line, err)
	}
	if !strings.Contains(unindent(string(file)), unindent(b.text)) {
		return fmt.Errorf("%s:%d: the block is not in %s", b.document, b.line, b.from)
	}
	return nil
}

func unindent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

// parse returns the files that a block stands for.
func (c *checker) parse(b block) ([]*ast.File, error) {
	if file, err := c.parseFile(b, "", b.text, ""); err == nil {
		return []*ast.File{file}, nil
	}
	own, rest := splitImports(b.text)
	header := "package docs\n" + missingImports(own)
	if file, err := c.parseFile(b, header, b.text, "\n"+b.declared); err == nil {
		return []*ast.File{file}, nil
	}
	// The braces let the block declare variables of the names of the prelude.
	header += own + "\n" + b.declared + "\nfunc _() error {\nvar (" + prelude + ")\n{\n"
	rest = strings.Repeat("\n", strings.Count(own, "\n")) + rest // keeps the line numbers
	file, err := c.parseFile(b, header, rest, "\n}\nreturn err\n}\n")
	return []*ast.File{file}, err
}

// parseFile parses text between header and footer; positions are those of the document.
func (c *checker) parseFile(b block, header, text, footer string) (*ast.File, error) {
	source := fmt.Sprintf("%s//line %s:%d\n%s%s", header, path.Base(b.document), b.line, text, footer)
	return parser.ParseFile(c.fset, b.document, source, parser.AllErrors)
}

// splitImports splits text behind its last import declaration.
func splitImports(text string) (imports, rest string) {
	const header = "package docs;"
	fset := token.NewFileSet()
	file, _ := parser.ParseFile(fset, "", header+text, parser.ImportsOnly)
	if file == nil || len(file.Decls) == 0 {
		return "", text
	}
	end := fset.Position(file.Decls[len(file.Decls)-1].End()).Offset - len(header)
	return text[:end], text[end:]
}

// missingImports imports the packages that own, the imports of a block, do not.
func missingImports(own string) string {
	file, err := parser.ParseFile(token.NewFileSet(), "", "package docs\n"+own, parser.ImportsOnly)
	if err != nil {
		return ""
	}
	taken := map[string]bool{}
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(imported)
		for known, path := range imports {
			if path == imported {
				name = known
			}
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		taken[name] = true
	}
	var text bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		if !taken[name] {
			fmt.Fprintf(&text, "import %s %q\n", name, imports[name])
		}
	}
	return text.String()
}
