package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
)

// results holds all measurements.
type results struct {
	config
	scenarios []measured
	programs  []program
	memory    []longRun // 100,000 merges by each contender
	bulk      []bulkRun
	longBulk  []longRun // MergeAll and the hand-written pool, ten thousand updates and a million
}

// measured is what a scenario took, by contender and round.
type measured struct {
	scenario
	samples map[string][]sample
}

// of returns the spread of a figure of a contender.
func (m measured) of(contender string, figure func(sample) float64) spread {
	var values []float64
	for _, s := range m.samples[contender] {
		values = append(values, figure(s))
	}
	return spreadOf(values)
}

// ratio returns the spread of the ratios to the baseline, one of each round.
func (m measured) ratio(contender string, figure func(sample) float64) spread {
	var values []float64
	for round, s := range m.samples[contender] {
		values = append(values, figure(s)/figure(m.samples[baselineName][round]))
	}
	return spreadOf(values)
}

func cpu(s sample) float64         { return s.cpu }
func throughput(s sample) float64  { return 1e9 / s.wall }
func allocs(s sample) float64      { return s.allocs }
func bytesOf(s sample) float64     { return s.bytes }
func connections(s sample) float64 { return s.connections }

// longRun is what a job in its own process took.
type longRun struct {
	job
	jobDone
	served
}

// bulkRun is MergeAll and the hand-written pool in one round.
type bulkRun struct{ mergeAll, handPool longRun }

// The sizes of the long runs.
const (
	memoryMerges = 100_000
	bulkMerges   = 100_000
	bulkInFlight = 64
)

func (c config) merges(n int) int {
	if c.short {
		return n / 1000
	}
	return n
}

// measure measures everything.
func (c config) measure(ctx context.Context, srv *server, progress io.Writer) (*results, error) {
	r := &results{config: c}
	var err error
	fmt.Fprintln(progress, "building the smallest programs")
	if r.programs, err = build(ctx); err != nil {
		return nil, err
	}
	for _, s := range scenarios() {
		r.scenarios = append(r.scenarios, measured{s, map[string][]sample{}})
	}
	all := contenders()
	order := rand.New(rand.NewPCG(1, 2))
	for round := range c.rounds {
		fmt.Fprintf(progress, "round %d of %d\n", round+1, c.rounds)
		for _, m := range r.scenarios {
			// Shuffled, because each one affects the next.
			for _, i := range order.Perm(len(all)) {
				one := all[i]
				s, err := measure(ctx, one, m.scenario, srv, c.short)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", one.name, m.scenario, err)
				}
				m.samples[one.name] = append(m.samples[one.name], s)
			}
		}
		bulk, err := c.bulkRound(round, srv)
		if err != nil {
			return nil, err
		}
		r.bulk = append(r.bulk, bulk)
	}
	for _, one := range all {
		fmt.Fprintf(progress, "%s: %d merges\n", one.name, c.merges(memoryMerges))
		if err := r.long(&r.memory, job{Contender: one.name, Merges: c.merges(memoryMerges), InFlight: bulkInFlight}, srv); err != nil {
			return nil, err
		}
	}
	// Once each, for their memory.
	for _, merges := range []int{10_000, 1_000_000} {
		for _, name := range []string{mergeAllName, handPoolName} {
			fmt.Fprintf(progress, "%s: %d updates\n", name, c.merges(merges))
			if err := r.long(&r.longBulk, job{Contender: name, Merges: c.merges(merges), InFlight: bulkInFlight}, srv); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

func (c config) bulkRound(round int, srv *server) (b bulkRun, err error) {
	pair := []*longRun{&b.mergeAll, &b.handPool}
	names := []string{mergeAllName, handPoolName}
	for i := range pair {
		at := (round + i) % len(pair)
		if *pair[at], err = runJob(job{Contender: names[at], Merges: c.merges(bulkMerges), InFlight: bulkInFlight}, srv); err != nil {
			return b, err
		}
	}
	return b, nil
}

func (r *results) long(to *[]longRun, j job, srv *server) error {
	run, err := runJob(j, srv)
	*to = append(*to, run)
	return err
}

func runJob(j job, srv *server) (longRun, error) {
	done, all, err := j.start(srv)
	return longRun{j, done, all}, err
}
