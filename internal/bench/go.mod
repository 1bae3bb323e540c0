module github.com/courier-profiles/courier-go/internal/bench

go 1.26

require (
	github.com/courier-profiles/courier-go v0.0.0
	github.com/google/go-cmp v0.7.0
)

require (
	github.com/go-json-experiment/json v1.27.2 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-retryablehttp v0.7.8 // indirect
	golang.org/x/sys v0.35.0 // indirect
)

replace github.com/courier-profiles/courier-go => ../..
