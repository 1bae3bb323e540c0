package main

import (
	"fmt"
	"sync"
)

// row is what both clients do in turn.
type row struct {
	operation string
	network   string
	inFlight  int
	// run makes calls while more returns true.
	run func(c client, inFlight int, more func() bool)
}

func (r row) String() string {
	return fmt.Sprintf("%s, %s, %d in flight", r.operation, r.network, r.inFlight)
}

// userOf returns the ID of user i of mergeAll.
func userOf(i int) string { return fmt.Sprintf("user-%d", i) }

const mergeTwo = "merge of two fields"

func allRows() []row {
	two := each(func(c client) error { return c.merge(userID, twoFields) })
	twenty := each(func(c client) error { return c.merge(userID, twentyFields) })
	get := each(func(c client) error { return c.get(userID) })
	return []row{
		{mergeTwo, inMemory, 1, two},
		{mergeTwo, http1, 1, two},
		{mergeTwo, http1, 64, two},
		{mergeTwo, http1, 256, two},
		{mergeTwo, http2, 1, two},
		{mergeTwo, http2, 64, two},
		{mergeTwo, http2, 256, two},
		{"merge of twenty fields", inMemory, 1, twenty},
		{"merge of twenty fields", http1, 64, twenty},
		{"merge of twenty fields", http2, 64, twenty},
		{"get of twenty fields and preferences", inMemory, 1, get},
		{"MergeAll", http1, 64, client.mergeAll},
	}
}

// each returns a run whose goroutines make one call after the other.
func each(call func(client) error) func(c client, inFlight int, more func() bool) {
	return func(c client, inFlight int, more func() bool) {
		var group sync.WaitGroup
		for range inFlight {
			group.Go(func() {
				for more() {
					check("call", call(c))
				}
			})
		}
		group.Wait()
	}
}
