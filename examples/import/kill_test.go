package main

import (
	"cmp"
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

	gocmp "github.com/google/go-cmp/cmp"
)

// killedFile returns a file in which each user has several rows, whose order shows
// in the profile, and the profiles that it makes in the end. Some empty cells are
// written as null.
func killedFile(random *rand.Rand, rows int, null string) (text string, want map[string]string) {
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
			fmt.Fprintf(&b, "%s,\"%d\n,,,,\n", user, row) // a row that is wrong, and an empty one
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
		fmt.Fprintf(&b, "%s,%s,%s,%s,%s,%s\n", user, cells["last"], cmp.Or(cells["a"], null), cells["b"], cells["c"], verified)
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
// requests, and resumes it with the same command. In the end all profiles are
// right, and the file of rejects is, to the byte, that of an import that was not
// killed.
func TestKill(t *testing.T) {
	t.Parallel()
	seed := *killSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-rows %d -seed %d", *killRows, seed)
	for _, test := range []struct {
		name, null string
		edit       func(text string) string
		flags      []string
	}{
		{name: "template", edit: func(text string) string { return text }},
		{
			name: "flags", null: "NULL", flags: []string{"-id=Customer ID", "-column=Last=custom.last", "-null=NULL"},
			edit: func(text string) string {
				text = strings.Replace(text, "id,custom.last", "Customer ID,Last", 1)
				return "sep=|\n" + strings.ReplaceAll(text, ",", "|")
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, seed))
			text, want := killedFile(random, *killRows, test.null)
			testKill(t, random, test.edit(text), want, append(test.flags, "-empty=null"))
		})
	}
}

func testKill(t *testing.T, random *rand.Rand, text string, want map[string]string, flags []string) {

	calm := newFakeCourier(t)
	calm.respondWith(400, "refused")
	calmFolder := t.TempDir()
	writeFile(t, calmFolder, "users.csv", text)
	calm.program(t, calmFolder, append(flags, "users.csv")...).exits(t, exitRejected)
	once := calm.count()

	f := newFakeCourier(t)
	f.respondWith(400, "refused")
	folder := t.TempDir()
	writeFile(t, folder, "users.csv", text)
	// About five seconds of work, in which several checkpoints are written.
	args := append(flags, "users.csv", fmt.Sprintf("-rate=%d", *killRows/5))
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
		if strings.Contains(p.err.String(), "Resuming: ") && !strings.Contains(p.err.String(), "Resuming: 0 ") {
			resumed++
		}
		if code == exitRejected {
			again := sent - once
			t.Logf("killed %d times, %d of these runs resumed after the first row, %d of %d requests were repeated\n%s", killed, resumed, again, once, &p.err)
			most := 0
			if i := strings.Index(p.err.String(), "        resent  "); i >= 0 {
				number := strings.Fields(p.err.String()[i:])[1]
				most, _ = strconv.Atoi(strings.ReplaceAll(number, ",", ""))
			}
			if again > most {
				t.Errorf("%d requests were repeated, but the summary says at most %d", again, most)
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
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("profiles: -want +got\n%s", diff)
	}
	if diff := gocmp.Diff(readFile(t, calmFolder, "users.rejected.csv"), readFile(t, folder, "users.rejected.csv")); diff != "" {
		t.Errorf("rejects: -want +got\n%s", diff)
	}
	if files, _ := filepath.Glob(filepath.Join(folder, "*.json*")); len(files) > 1 { // a lock file is left by a kill
		t.Errorf("%v are left", files)
	}
}
