package main

import (
	"io"
	"strings"
	"testing"
)

// readAll applies the plan to all records, and returns the rejected ones as a file
// of rejects, and how many they are.
func readAll(t *testing.T, r reader, o *readOptions) (rejects string, n int) {
	t.Helper()
	if c, isCSV := r.(*csvReader); isCSV {
		c.layout.known = true
	}
	p := newPlan(r, "id", o)
	var b strings.Builder
	b.WriteString(r.header())
	for {
		record, err := r.next()
		if err != nil { // the end, or JSON that is broken
			return b.String(), n
		}
		if err := p.extend(); err != nil || p.isCSV && p.id < 0 {
			return "", 0 // the input is refused
		}
		id, _, problem := p.apply(&record)
		if problem == nil && id == "" {
			t.Error("a record without a user ID is delivered")
		}
		if problem != nil {
			b.WriteString(r.reject(record, problem.String()))
			n++
		}
	}
}

// Whatever the input is, its rejects, imported unchanged, are rejected again.
func fuzz(t *testing.T, text string, open func(io.Reader) (reader, error)) {
	o := &readOptions{rest: "own"}
	r, err := open(strings.NewReader(text))
	if err != nil {
		return
	}
	rejects, n := readAll(t, r, o)
	if n == 0 {
		return
	}
	again, err := open(strings.NewReader(rejects))
	if err != nil {
		t.Fatalf("the rejects are refused: %v\n%q", err, rejects)
	}
	if _, got := readAll(t, again, o); got != n {
		t.Errorf("%d of the %d rejects are rejected again\n%q", got, n, rejects)
	}
}

func FuzzCSV(f *testing.F) {
	for _, seed := range []string{
		plainCSV,
		"id,name\nu1,\"a\nb\"\nu2,\"c\nu3,d\n",
		"id;name\r\nu1;\"a;\"\"b\"\r\n;;\r\nu2;c;;",
		"id,a,line,text,reason\nu,b,,,\n,,3,\"u,\"\"b\",never\n",
		"\n\nid\tn\nu\t\xff\n\"\r",
		"id,\"n\"\"\"\n\"\"\"\",\"\"\n",
		"sep=|\nid|Phone No. 2\r\r\nu|6' 2\"\r\r\nu2\nsep=|\nu3|\"x\" \n\x1a",
		"id,email_verified\nid,name\nu\u200b,x\n1.2E+12,y\n--,--\n=\"1\",t\nu4",
		"id,custom\nu1,{}\nu2,\"{\"\"a\"\":1}\"\nu3,x\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fuzz(t, text, func(r io.Reader) (reader, error) {
			return newCSV(newScanner(r), decoded{}, &readOptions{rest: "own"})
		})
	})
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		"{\"id\":\"u1\",\"name\":\"Ann\"}\n{\"id\":\"u2\",\n",
		"{\"id\":\"u1\",\n\"email_verified\":\"x\"},\n{\"id\":1.5},\n",
		`[{"id":"u1","a":1,"a":2},{"id":"\ud800"},7]`,
		`{"users":[{"id":"u1","custom":{"a":{"b":[]}}},{"id":"."}]}`,
		`{"user_id":"u1","profile":{"email":1}}` + "\n" + `{"text":"{\"id\":","reason":"x"}`,
		`{"id":"u","email_verified":"x","line":3,"reason":"y"}` + "\n{\"id\":\xff}\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") {
			return
		}
		fuzz(t, text, func(r io.Reader) (reader, error) {
			return newJSON(newScanner(r), decoded{}, &readOptions{rest: "own"})
		})
	})
}
