// Package official uses Courier's official SDK to send messages, and this repository's
// package to keep profiles.
package official

import (
	"context"

	"github.com/trycourier/courier-go/v4"
	"github.com/trycourier/courier-go/v4/shared"

	profiles "github.com/courier-profiles/courier-go"
)

// Welcome stores the email address of a new user, and sends them a message.
func Welcome(ctx context.Context, store *profiles.Client, sender courier.Client, userID, email string) error {
	_, err := store.Profiles.Merge(ctx, userID, profiles.Profile{
		Email: profiles.Set(email),
	})
	if err != nil {
		return err
	}
	_, err = sender.Send.Message(ctx, courier.SendMessageParams{
		Message: courier.SendMessageParamsMessage{
			To: courier.SendMessageParamsMessageToUnion{
				OfUserRecipient: &shared.UserRecipientParam{UserID: courier.String(userID)},
			},
			Template: courier.String("welcome"),
		},
	})
	return err
}
