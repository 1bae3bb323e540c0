package main

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// killFile returns a file for an import that is killed, and the profiles that the import
// makes in the end. Each user has several rows, whose order shows in the profile. Some rows
// are rejected.
func killFile(random *rand.Rand, rows int) (text string, want profiles) {
	var b strings.Builder
	b.WriteString("id,custom.last,custom.a,custom.b,email_verified\n")
	custom := map[string]map[string]string{} // of each user
	held := map[string]bool{}                // users whose rows are rejected from here on
	users := max(rows/8, 1)
	for row := range rows {
		user := fmt.Sprint("user-", random.IntN(users))
		cells := map[string]string{"last": strconv.Itoa(row)}
		for _, name := range []string{"a", "b"} {
			if random.IntN(3) > 0 { // otherwise the cell is empty, which removes the member
				cells[name] = fmt.Sprint(name, row)
			}
		}
		verified := "yes"
		switch random.IntN(200) {
		case 0: // rejected before it is sent
			verified = "maybe"
			held[user] = true
		case 1, 2: // refused by Courier
			user = "refused"
		case 3: // a row with a quote that is not closed, and one of empty cells
			fmt.Fprintf(&b, ",\"%d\n", row)
			b.WriteString(",,,,\n")
			continue
		}
		if user != "refused" && !held[user] {
			addRow(custom, user, cells)
		}
		a := cmp.Or(cells["a"], "NULL") // an empty cell, written in another way
		fmt.Fprintf(&b, "%s,%s,%s,%s,%s\n", user, cells["last"], a, cells["b"], verified)
	}
	want = profiles{}
	for user, members := range custom {
		var fields []string
		for _, name := range slices.Sorted(maps.Keys(members)) {
			fields = append(fields, fmt.Sprintf("%q:%q", name, members[name]))
		}
		want[user] = fmt.Sprintf(`{"email_verified":true,"custom":{%s}}`,
			strings.Join(fields, ","))
	}
	return b.String(), want
}

// addRow changes custom as the import of a row does: a cell sets a member of the user, and
// an empty cell removes it.
func addRow(custom map[string]map[string]string, user string, cells map[string]string) {
	if custom[user] == nil {
		custom[user] = map[string]string{}
	}
	for _, name := range []string{"last", "a", "b"} {
		if value, ok := cells[name]; ok {
			custom[user][name] = value
		} else {
			delete(custom[user], name)
		}
	}
}

// TestKill kills an import again and again, by SIGKILL after a random number of
// requests, and resumes it with the same command. In the end all profiles are
// right, and the file of rejects is, to the byte, that of an import that was not
// killed. The flag -rows makes the test longer, and -seed repeats a run.
func TestKill(t *testing.T) {
	t.Parallel()
	seed := *killSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-rows %d -seed %d", *killRows, seed)
	random := rand.New(rand.NewPCG(seed, seed))
	text, want := killFile(random, *killRows)
	args := []string{"-yes", "-empty=null", "-null=NULL", "users.csv"}

	calm := newFakeCourier(t) // of an import that is not killed
	calm.respond("refused", refusal(400))
	calmFolder := t.TempDir()
	writeFile(t, calmFolder, "users.csv", text)
	calm.program(t, calmFolder, args...).exits(t, job.Rejected)
	calmRequests := calm.count()

	f := newFakeCourier(t)
	f.respond("refused", refusal(400))
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", text)
	// About three seconds of work, in which the checkpoint is written many times.
	args = append(args, fmt.Sprintf("-rate=%d", *killRows/3))
	const maxKills = 8
	requests, killed, resumed := 0, 0, 0
	for {
		killAt := 1 + random.IntN(2*calmRequests/maxKills)
		if killed == maxKills {
			killAt = 0 // never, as the first request is number 1
		}
		p := f.program(t, folder, args...)
		f.onRequest(func(n int) {
			if n == killAt {
				p.signal(os.Kill)
			}
		})
		code := p.exitCode(t)
		requests += f.count()
		if strings.Contains(p.err.String(), "Resuming: ") {
			resumed++
		}
		if code == job.Rejected {
			break // it has reached the end of the file
		}
		if code != -1 {
			t.Fatalf("exit code %d, want %d or -1\n%s", code, job.Rejected, p.output())
		}
		killed++
	}
	t.Logf("killed %d times, %d runs resumed, %d of %d requests were repeated",
		killed, resumed, requests-calmRequests, calmRequests)
	if killed < 3 {
		t.Errorf("killed %d times, want at least 3: too few to show anything", killed)
	}
	if resumed == 0 {
		t.Error("no run resumed, want at least one: too few to show anything")
	}
	if diff := gocmp.Diff(want, f.profiles(t)); diff != "" {
		t.Errorf("profiles (-want +got):\n%s", diff)
	}
	wantRejects := readFile(t, calmFolder, "users.rejected.csv")
	gotRejects := readFile(t, folder, "users.rejected.csv")
	if diff := gocmp.Diff(wantRejects, gotRejects); diff != "" {
		t.Errorf("rejects (-want +got):\n%s", diff)
	}
	wantFiles := []string{"users.csv", "users.rejected.csv"}
	if diff := gocmp.Diff(wantFiles, files(t, folder)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}
