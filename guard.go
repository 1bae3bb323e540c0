//go:build goexperiment.jsonv2 && !go1.27

package courier

// The json/v2 of Go 1.26 is an earlier draft, which has other tag options.
var _ = GOEXPERIMENT_jsonv2_needs_Go_1_27_or_build_without_it
