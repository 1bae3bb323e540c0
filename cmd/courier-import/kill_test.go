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

// killedFile returns a file in which each user has several rows, whose order shows
// in the profile, and the profiles that it makes in the end. Some empty cells are
// NULL.
func killedFile(random *rand.Rand, rows int) (text string, want profiles) {
	var b strings.Builder
	b.WriteString("id,custom.last,custom.a,custom.b,email_verified\n")
	custom := map[string]map[string]string{}
	held := map[string]bool{}
	users := max(rows/8, 1)
	for row := range rows {
		user := fmt.Sprint("user-", random.IntN(users))
		cells := map[string]string{"last": strconv.Itoa(row)}
		for _, name := range []string{"a", "b"} {
			if random.IntN(3) > 0 { // or else the row removes it
				cells[name] = fmt.Sprint(name, row)
			}
		}
		verified := "yes"
		switch random.IntN(200) {
		case 0:
			verified = "maybe" // rejected before it is sent, with all later rows of the user
			held[user] = true
		case 1, 2:
			user = "refused" // by Courier
		case 3:
			fmt.Fprintf(&b, ",\"%d\n,,,,\n", row) // a row that is wrong, and an empty one
			continue
		}
		if user != "refused" && !held[user] {
			apply(custom, user, cells)
		}
		fmt.Fprintf(&b, "%s,%s,%s,%s,%s\n", user, cells["last"],
			cmp.Or(cells["a"], "NULL"), cells["b"], verified)
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

// apply does what a row does to the members of custom of a user.
func apply(custom map[string]map[string]string, user string, cells map[string]string) {
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
// killed. -rows and -seed make it longer or repeat it.
func TestKill(t *testing.T) {
	t.Parallel()
	seed := *killSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-rows %d -seed %d", *killRows, seed)
	random := rand.New(rand.NewPCG(seed, seed))
	text, want := killedFile(random, *killRows)
	// About three seconds of work, in which the checkpoint is written many times.
	args := []string{"-yes", "-empty=null", "-null=NULL", "users.csv",
		fmt.Sprintf("-rate=%d", *killRows/3)}

	calm := newFakeCourier(t)
	calm.respond("refused", refusal(400))
	calmFolder := t.TempDir()
	writeFile(t, calmFolder, "users.csv", text)
	calm.program(t, calmFolder, args[:4]...).exits(t, job.Rejected)
	once := calm.count()

	f := newFakeCourier(t)
	f.respond("refused", refusal(400))
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", text)
	const kills = 8
	sent, killed, resumed := 0, 0, 0
	for {
		p := f.program(t, folder, args...)
		kill := 1 + random.IntN(2*once/kills)
		f.onRequest(func(n int) {
			if n == kill && killed < kills {
				p.signal(os.Kill)
			}
		})
		code := p.exit(t)
		sent += f.count()
		if strings.Contains(p.err.String(), "Resuming: ") {
			resumed++
		}
		if code == job.Rejected {
			break
		}
		if code != -1 {
			t.Fatalf("exit code %d\n%s", code, p.output())
		}
		killed++
	}
	t.Logf("killed %d times, %d runs resumed, %d of %d requests were repeated",
		killed, resumed, sent-once, once)
	if killed < 3 || resumed == 0 {
		t.Errorf("killed %d times, resumed %d times: too few to show anything", killed, resumed)
	}
	if diff := gocmp.Diff(want, f.profiles(t)); diff != "" {
		t.Errorf("profiles: -want +got\n%s", diff)
	}
	rejects := readFile(t, calmFolder, "users.rejected.csv")
	if diff := gocmp.Diff(rejects, readFile(t, folder, "users.rejected.csv")); diff != "" {
		t.Errorf("rejects: -want +got\n%s", diff)
	}
	if diff := gocmp.Diff([]string{"users.csv", "users.rejected.csv"}, files(t, folder)); diff != "" {
		t.Errorf("files: -want +got\n%s", diff)
	}
}
