package main

import (
	"strings"
	"testing"
)

// applyAll applies the plan to all records. It returns how many are rejected, and a file of
// rejects with them. If the input as a whole is refused, that is none.
func applyAll(t *testing.T, r reader, o *readOptions) (rejects string, n int) {
	t.Helper()
	if c, isCSV := r.(*csvReader); isCSV {
		c.layout.known = true // as after the check that precedes an import
	}
	p, held := newPlan(r, "id", o), heldBack{}
	var b strings.Builder
	b.WriteString(r.header())
	for {
		record, err := r.next()
		if err != nil { // the end, or JSON that is broken
			return b.String(), n
		}
		if err := p.extend(); err != nil {
			return "", 0
		}
		hasNoIDColumn := p.isCSV && p.id < 0
		if hasNoIDColumn {
			return "", 0
		}
		id, _, problem := held.admit(p, &record)
		if problem != nil {
			b.WriteString(r.reject(record, problem.String()))
			n++
			continue
		}
		if id == "" {
			t.Error("a record has neither a user ID nor a problem, want one of them")
		}
	}
}

// opener is newCSV or newJSON.
type opener func(*scanner, decoded, *readOptions) (reader, error)

// checkRejectsAgain checks that the rejects of an input, imported unchanged, are rejected
// again. converted says that the input was in another encoding, in which U+FFFD was broken.
func checkRejectsAgain(t *testing.T, text string, converted bool, open opener) {
	t.Helper()
	o := &readOptions{rest: "own"}
	r, err := open(newScanner(strings.NewReader(text)), decoded{converted: converted}, o)
	if err != nil {
		return // the input is refused
	}
	rejects, want := applyAll(t, r, o)
	if want == 0 {
		return
	}
	rejects = strings.TrimPrefix(rejects, byteOrderMark)
	again, err := open(newScanner(strings.NewReader(rejects)), decoded{}, o)
	if err != nil {
		t.Fatalf("the rejects are refused: %v\n%q", err, rejects)
	}
	if _, got := applyAll(t, again, o); got != want {
		t.Errorf("%d rejects were rejected again, want %d\n%q", got, want, rejects)
	}
}

func FuzzCSV(f *testing.F) {
	for _, seed := range []string{
		plainCSV,
		"id,name\nu1,\"a\nb\"\nu2,\"c\nu3,d\n",
		"id;name\r\nu1;\"a;\"\"b\"\r\n;;\r\nu2;c;;",
		"id,a,line,text,reason\nu,b,,,\n,,3,\"u,\"\"b\",never\n",
		"id,a,line,text,reason\nu,", // as a text, "u," would fit
		"\n\nid\tn\nu\t\xff\n\"\r",
		"id,\"n\"\"\"\n\"\"\"\",\"\"\n",
		"sep=|\nid|Phone No. 2\r\r\nu|6' 2\"\r\r\nu2\nsep=|\nu3|\"x\" \n\x1a",
		"id|n\nu\nu|\"x\" \r\x1a",
		"id,email_verified\nid,name\nu\u200b,x\n1.2E+12,y\n--,--\n=\"1\",t\nu4",
		"id,custom\nu1,{}\nu2,\"{\"\"a\"\":1}\"\nu3,x\n",
	} {
		f.Add(seed, false)
	}
	f.Add("id,name\nu1,B\ufffd\n", true)
	f.Fuzz(func(t *testing.T, text string, converted bool) {
		open := func(s *scanner, d decoded, o *readOptions) (reader, error) {
			return newCSV(s, d, o)
		}
		checkRejectsAgain(t, text, converted, open)
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
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, text string, converted bool) {
		isJSON := strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[")
		if !isJSON {
			return
		}
		open := func(s *scanner, d decoded, o *readOptions) (reader, error) {
			return newJSON(s, d, o)
		}
		checkRejectsAgain(t, text, converted, open)
	})
}
