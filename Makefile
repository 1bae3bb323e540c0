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
	.ci/run bench

long:
	.ci/run long
