// Package chaos has only tests: they run the client against an API that fails, over a
// network that fails in the ways of Shopify's toxiproxy, with HTTP/1.1 and HTTP/2.
//
//	go test -C internal/chaos .
//	go test -C internal/chaos . -run TestMerges -v -count 1 -timeout 30m -merges 100000 -seed 1
//
// The first is what CI runs. The second is the long run, whose output is in RESULTS.md.
package chaos
