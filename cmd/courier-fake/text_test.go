package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPretty(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ body, want string }{
		{`{"a":[1,{}],"b":1.50}`, "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": 1.50\n}"},
		{"<html>Bad gateway", "<html>Bad gateway"},
		{"caf\xe9", "caf\uFFFD"},
		{"", ""},
	} {
		if diff := cmp.Diff(test.want, pretty([]byte(test.body))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.body, diff)
		}
	}
}

func TestPrettyOfALongBody(t *testing.T) {
	t.Parallel()
	got := pretty([]byte("x" + strings.Repeat("é", maxText/2)))
	want := "x" + strings.Repeat("é", maxText/2-1) + "\n… the first 99999 of 100001 bytes"
	if got != want {
		t.Errorf("it has %d bytes and ends with %q, want %d and %q",
			len(got), got[len(got)-60:], len(want), want[len(want)-60:])
	}
}

// Indentation must not make a body many times as large.
func TestPrettyOfANestedBody(t *testing.T) {
	t.Parallel()
	const depth = 90
	list := strings.TrimSuffix(strings.Repeat("1,", 1<<17), ",")
	body := strings.Repeat("[", depth) + list + strings.Repeat("]", depth)
	if got := indented([]byte(body), ""); got != body {
		t.Errorf("%d bytes become %d", len(body), len(got))
	}
	body = strings.Repeat("[", depth) + "1" + strings.Repeat("]", depth)
	if got := indented([]byte(body), ""); got == body {
		t.Error("a short body is not indented")
	}
}

func TestShort(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"user-1":                             "user-1",
		strings.Repeat("x", maxName):         strings.Repeat("x", maxName),
		"x" + strings.Repeat("é", maxName/2): "x" + strings.Repeat("é", maxName/2-1) + "…",
		strings.Repeat("\xa9", maxName+1):    "…", // not UTF-8
	} {
		if got := short(name); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}

// text returns lines as one text, with a + before those that are marked.
func text(lines []line) string {
	var b strings.Builder
	for _, l := range lines {
		if l.Marked {
			b.WriteString("+")
		}
		b.WriteString(l.Text + "\n")
	}
	return b.String()
}

func TestCompare(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, profile, other, want string }{
		{
			"equal", `{"a":1,"b":[1]}`, `{"a":1,"b":[1]}`,
			"{\n  \"a\": 1,\n  \"b\": [\n    1\n  ]\n}\n",
		},
		{
			"a new member and another value", `{"a":1,"b":2,"c":3}`, `{"a":1,"b":"2"}`,
			"{\n  \"a\": 1,\n+  \"b\": 2,\n+  \"c\": 3\n}\n",
		},
		{
			"inside an object", `{"custom":{"a":1,"b":2}}`, `{"custom":{"a":1}}`,
			"{\n  \"custom\": {\n    \"a\": 1,\n+    \"b\": 2\n  }\n}\n",
		},
		{
			"an object in place of a text", `{"a":{"b":1}}`, `{"a":"b"}`,
			"{\n+  \"a\": {\n+    \"b\": 1\n+  }\n}\n",
		},
		{"a list, as a whole", `{"a":[1,2]}`, `{"a":[1]}`, "{\n+  \"a\": [\n+    1,\n+    2\n+  ]\n}\n"},
		{"no profile before", `{"a":1}`, "", "{\n+  \"a\": 1\n}\n"},
		{"a null that was missing", `{"a":null}`, `{}`, "{\n+  \"a\": null\n}\n"},
		{"markup", `{"<b>":"<i>"}`, `{}`, "{\n+  \"<b>\": \"<i>\"\n}\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := text(compare(json.RawMessage(test.profile), json.RawMessage(test.other)))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A profile that is too large for the page is cut, and says so.
func TestCompareOfALargeProfile(t *testing.T) {
	t.Parallel()
	large := json.RawMessage(`{"a":"` + strings.Repeat("x", maxText) + `","b":1}`)
	lines := compare(large, nil)
	if got := lines[len(lines)-1].Text; !strings.Contains(got, "longer than the page shows") {
		t.Errorf("the last line is %.60q, want one that says that there is more", got)
	}
}

// A deep profile is not indented, which would take many times its size, and objects far
// below are marked as a whole.
func TestCompareOfADeepProfile(t *testing.T) {
	t.Parallel()
	nested := func(value string) json.RawMessage {
		return json.RawMessage(strings.Repeat(`{"a":`, 5000) + value + strings.Repeat("}", 5000))
	}
	lines := compare(nested("1"), nested("2"))
	if got, want := len(lines), 2*maxDepth+1; got != want {
		t.Fatalf("it has %d lines, want %d", got, want)
	}
	for i, l := range lines {
		if want := i == maxDepth; l.Marked != want {
			t.Errorf("line %d is marked: %t, want %t: %.40s", i+1, l.Marked, want, l.Text)
		}
	}
}
