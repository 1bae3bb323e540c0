// Package chaos has no code of its own, only tests: the client and MergeAll
// behind a network that fails in every way that Shopify's toxiproxy knows, in
// front of an API that fails as well.
//
//	go test -C internal/chaos .
//	go test -C internal/chaos . -v -count 1 -timeout 30m -merges 100000 -seed 1
//
// The first makes 5,000 merges, and is what CI runs. The second is the long run
// whose output is in RESULTS.md, together with what its columns mean.
package chaos
