// Package option has the options of the stand-in.
package option

// Config is what the options set.
type Config struct{ APIKey, BaseURL string }

// RequestOption configures a client or a request.
type RequestOption func(*Config)

// WithAPIKey sets the API key.
func WithAPIKey(key string) RequestOption { return func(c *Config) { c.APIKey = key } }

// WithBaseURL sets the base URL, which ends with a slash.
func WithBaseURL(base string) RequestOption { return func(c *Config) { c.BaseURL = base } }
