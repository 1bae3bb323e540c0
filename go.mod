module github.com/courier-profiles/courier-go

go 1.26

require (
	github.com/evanphx/json-patch/v5 v5.9.11
	github.com/go-json-experiment/json v1.27.2
	github.com/google/go-cmp v0.7.0
	github.com/jarcoal/httpmock v1.4.2
)
