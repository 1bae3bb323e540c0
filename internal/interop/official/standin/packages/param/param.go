// Package param has optional values.
package param

import "encoding/json"

// Opt is an optional value; the zero Opt is unset.
type Opt[T comparable] struct{ Value T }

// MarshalJSON writes the value.
func (o Opt[T]) MarshalJSON() ([]byte, error) { return json.Marshal(o.Value) }
