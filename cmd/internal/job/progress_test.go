package job

import (
	"bytes"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Where there is no terminal, progress is a line every few seconds.
func TestProgressLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		var total atomic.Int64
		p := StartProgress(&out, func() Status {
			return Status{Done: 50, Total: total.Load(), Text: "5 rows"}
		})
		time.Sleep(lineEvery)
		synctest.Wait()
		total.Store(200)
		time.Sleep(lineEvery)
		synctest.Wait()
		p.Print("Stopping.")
		p.Stop()
		want := "5 rows\n25%, 5 rows\nStopping.\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}
