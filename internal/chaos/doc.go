// Package chaos has only tests: they run the client and MergeAll against an API
// that fails, over a network that fails in every way that Shopify's toxiproxy
// supports.
//
//	go test -C internal/chaos .
//	go test -C internal/chaos . -v -count 1 -timeout 30m -merges 100000 -seed 1
//
// The first makes 2,000 merges, and is what CI runs. The second is the long run
// whose output is in RESULTS.md, which also explains the columns.
package chaos
