package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// killedFile returns a file of rows in which each user has several, the order of
// which shows in the profile, and what the profiles are to be in the end.
func killedFile(random *rand.Rand, rows int) (text string, want map[string]string) {
	var b strings.Builder
	b.WriteString("id,custom.last,custom.a,custom.b,custom.c,email_verified\n")
	custom := map[string]map[string]string{}
	users := max(rows/8, 1)
	for row := range rows {
		user := fmt.Sprint("user-", random.IntN(users))
		cells := map[string]string{"last": strconv.Itoa(row)}
		for _, name := range []string{"a", "b", "c"} {
			if random.IntN(3) > 0 { // or else the row removes it
				cells[name] = fmt.Sprint(name, row)
			}
		}
		verified := "yes"
		switch random.IntN(50) {
		case 0:
			verified = "maybe" // rejected before it is sent
		case 1:
			user = "refused" // by Courier
		case 2:
			fmt.Fprintf(&b, "%s,\"%d\n,,,,\n", user, row) // two rows that are wrong
			continue
		default:
			if custom[user] == nil {
				custom[user] = map[string]string{}
			}
			for _, name := range []string{"last", "a", "b", "c"} {
				if value, ok := cells[name]; ok {
					custom[user][name] = value
				} else {
					delete(custom[user], name)
				}
			}
		}
		fmt.Fprintf(&b, "%s,%s,%s,%s,%s,%s\n", user, cells["last"], cells["a"], cells["b"], cells["c"], verified)
	}
	want = map[string]string{}
	for user, members := range custom {
		var fields []string
		for _, name := range slices.Sorted(maps.Keys(members)) {
			fields = append(fields, fmt.Sprintf("%q:%q", name, members[name]))
		}
		want[user] = fmt.Sprintf(`{"email_verified":true,"custom":{%s}}`, strings.Join(fields, ","))
	}
	return b.String(), want
}

// TestKill kills an import again and again, by SIGKILL after a random number of
// requests, and has the same command go on. In the end all profiles are what
// they have to be, and the file of rejects is that of an import which was not
// killed, to the byte.
func TestKill(t *testing.T) {
	seed := *killSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-rows %d -seed %d", *killRows, seed)
	random := rand.New(rand.NewPCG(seed, seed))
	text, want := killedFile(random, *killRows)

	calm := newFakeCourier(t)
	calm.answerWith(400, "refused")
	calmFolder := t.TempDir()
	writeFile(t, calmFolder, "users.csv", text)
	calm.program(t, calmFolder, "-empty=null", "users.csv").exits(t, exitRejected)
	once := calm.count()

	f := newFakeCourier(t)
	f.answerWith(400, "refused")
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", text)
	// About five seconds of work, in which several checkpoints are written.
	args := []string{"-empty=null", "users.csv", fmt.Sprintf("-rate=%d", *killRows/5)}
	const kills = 10
	var sent, killed, resumed int
	for {
		p := f.program(t, folder, args...)
		kill := 1 + random.IntN(2*once/kills)
		f.restart(func(n int) {
			if n == kill && killed < kills {
				p.signal(os.Kill)
			}
		})
		code := p.exit(t)
		sent += f.count()
		if strings.Contains(p.err.String(), "Going on: ") && !strings.Contains(p.err.String(), "Going on: 0 ") {
			resumed++
		}
		if code == exitRejected {
			again := sent - once
			t.Logf("killed %d times, %d of these runs began behind the first row, %d of %d requests were repeated\n%s", killed, resumed, again, once, &p.err)
			most := 0
			if i := strings.Index(p.err.String(), "  sent again  "); i >= 0 {
				number := strings.Fields(p.err.String()[i:])[2]
				most, _ = strconv.Atoi(strings.ReplaceAll(number, ",", ""))
			}
			if again > most {
				t.Errorf("%d requests were repeated, but the summary says %d at the most", again, most)
			}
			break
		}
		if code != -1 {
			t.Fatalf("exit code %d\n%s", code, &p.err)
		}
		killed++
	}
	if killed < 3 || resumed == 0 {
		t.Errorf("killed %d times, resumed %d times: too few to show anything", killed, resumed)
	}

	got := map[string]string{}
	for user := range want {
		got[user] = f.profile(t, user)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("profiles: -want +got\n%s", diff)
	}
	if diff := cmp.Diff(readFile(t, calmFolder, "users.rejected.csv"), readFile(t, folder, "users.rejected.csv")); diff != "" {
		t.Errorf("rejects: -want +got\n%s", diff)
	}
	if files, _ := filepath.Glob(filepath.Join(folder, "*.json*")); len(files) > 1 { // a lock file is left by a kill
		t.Errorf("%v are left", files)
	}
}
