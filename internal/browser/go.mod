module github.com/courier-profiles/courier-go/internal/browser

go 1.26.0

replace github.com/courier-profiles/courier-go => ../../

require (
	github.com/chromedp/cdproto v0.160.1
	github.com/chromedp/chromedp v0.23.1
	github.com/courier-profiles/courier-go v0.0.0
	github.com/google/go-cmp v0.7.0
)

require (
	github.com/go-json-experiment/json v1.27.2 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-retryablehttp v0.7.8 // indirect
)
