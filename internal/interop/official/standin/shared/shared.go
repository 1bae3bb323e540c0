// Package shared has types of the stand-in.
package shared

import "github.com/trycourier/courier-go/v4/packages/param"

// UserRecipientParam is a user to send to.
type UserRecipientParam struct {
	UserID param.Opt[string] `json:"user_id,omitzero"`
}
