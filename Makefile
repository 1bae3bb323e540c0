# Short names for what .ci/run does, and for the long runs.
.PHONY: all test lint fuzz bench long

all:
	.ci/run

test:
	.ci/run test

lint:
	.ci/run lint

fuzz:
	fuzztime=1000000x .ci/run fuzz

bench:
	go run -C internal/bench .
	go test -run '^$$' -bench . -benchmem .

long:
	go test -C internal/chaos . -v -count 1 -timeout 30m -merges 100000 -seed 1
	go test -C examples/import -race -run 'TestKill$$' -rows 20000 -v .
	go test -C examples/worker -race -run TestKill -updates 20000 -v .
	go test -run '^$$' -bench 'MergeAll' -benchtime 1000000x .
