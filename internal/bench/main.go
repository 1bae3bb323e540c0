// Bench compares package courier with net/http by hand, and draws the chart of
// docs/performance.md.
//
//	go run -C internal/bench .          prints the tables
//	go run -C internal/bench . -write   also updates RESULTS.md and bench.svg
//
// The server is another process, so the CPU times are those of the client alone. It needs
// a Unix system, and the go command.
package main

import (
	"flag"
	"fmt"
	"log"
	"regexp"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	var r report
	flag.IntVar(&r.rounds, "rounds", 9, "`number` of rounds")
	flag.DurationVar(&r.duration, "duration", 500*time.Millisecond, "`time` of each measurement")
	flag.IntVar(&r.updates, "updates", 1_000_000, "`number` of updates for the heap")
	only := regexp.MustCompile("")
	flag.TextVar(only, "run", only, "measure only the rows that match `regexp`, and no sizes")
	write := flag.Bool("write", false, "update RESULTS.md and bench.svg")
	flag.Parse()
	if flag.Arg(0) == serveArgument {
		serve()
		return
	}
	if r.rounds < 1 || r.duration <= 0 || r.updates < 1 {
		log.Fatal("-rounds, -duration and -updates must be positive")
	}
	if *write && only.String() != "" {
		log.Fatal("-write needs all rows: remove -run")
	}

	urls, server := startServer()
	defer server.Close()
	if only.String() == "" {
		// The heap is measured first, while the process has no other garbage.
		for which := range names {
			r.heaps[which] = heapPeak(which, urls[http1], r.updates)
			r.binaries[which] = binarySize(which)
		}
	}
	for _, row := range allRows() {
		if only.MatchString(row.String()) {
			r.results = append(r.results, result{row: row})
		}
	}
	r.measureRounds(urls)
	fmt.Print(r.section())
	if *write {
		r.write("RESULTS.md", "bench.svg")
	}
}

// check ends the program, because a measurement with a failure is none.
func check(what string, err error) {
	if err != nil {
		log.Fatalf("%s: %v", what, err)
	}
}
