# Short names for the stages of .ci/run, and for the long runs.
.PHONY: all core fuzz bench long

all:
	.ci/run

core:
	.ci/run core

fuzz:
	fuzztime=1000000x .ci/run fuzz

bench:
	.ci/run bench

long:
	.ci/run long
