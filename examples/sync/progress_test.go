package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
)

func TestProgressText(t *testing.T) {
	t.Parallel()
	c := new(counts)
	c.retries.Add(3)
	c.rejected.Add(2)
	p := &progress{counts: c}
	for _, test := range []struct {
		total, settled int64
		took           time.Duration
		want           string
	}{
		{1_000_000, 451_234, 100 * time.Second, "sync: 45%, 451,234 of 1,000,000 rows, 4,512/s, 3 retries, 2 rejected"},
		{0, 0, 0, "sync: 0%, 0 of 0 rows, 0/s, 3 retries, 2 rejected"},
		{10, 12, time.Second, "sync: 100%, 12 of 10 rows, 12/s, 3 retries, 2 rejected"}, // there are more by now
	} {
		if diff := cmp.Diff(test.want, p.text(test.total, test.settled, test.took)); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	}
}

func TestProgressLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := new(counts)
		p := startProgress(&out, c)
		c.total.Add(1000)
		c.merged.Add(500)
		time.Sleep(lineEvery + time.Second)
		p.print("A line.")
		p.stop()
		want := "sync: 50%, 500 of 1,000 rows, 100/s, 0 retries, 0 rejected\nA line.\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

func TestProgressBar(t *testing.T) {
	t.Parallel()
	terminal, out, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if err := pty.Setsize(out, &pty.Winsize{Rows: 24, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	c := new(counts)
	c.total.Add(1000)
	c.merged.Add(500)
	p := startProgress(out, c)
	p.show()
	p.print("A line.")
	p.stop()
	out.Close()
	text, _ := io.ReadAll(terminal) // ends with an error of the closed terminal
	for _, want := range []string{"sync: 50%, 500 of 1,000 rows", "49% |", "█", "A line.\r\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the terminal does not show %q: %q", want, text)
		}
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	c := new(counts)
	c.read.Add(1234)
	c.merged.Add(1200)
	c.deleted.Add(30)
	c.erased.Add(3)
	c.rejected.Add(1)
	c.retries.Add(7)
	want := ` rows read       1,234
    merged       1,200
   deleted          30
    erased           3
  rejected           1  see the table courier_sync_rejects
   retries           7
      time        1.5s
`
	if diff := cmp.Diff(want, c.summary(1500*time.Millisecond)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
