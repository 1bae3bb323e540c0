package main

import (
	"encoding/json"
	"errors"
	"time"

	courier "github.com/courier-profiles/courier-go"
)

// The table and its columns, in the order in which user.fields lists them. To sync
// a table of your own, change this file. The id must be unique; it may be text, a
// number or a uuid.
const (
	table   = "users"
	columns = "id, updated_at, deleted_at IS NOT NULL, erased_at IS NOT NULL, name, email, email_verified, phone_number, locale, custom"
)

// user is one row of the table.
type user struct {
	ID        string
	UpdatedAt time.Time
	Deleted   bool // the profile is deleted
	Erased    bool // the profile and the list subscriptions are deleted

	Name          *string
	Email         *string
	EmailVerified *bool
	PhoneNumber   *string
	Locale        *string
	Custom        []byte // JSON

	WasRejected bool // has an entry in the table of rejected rows
}

// fields returns where the columns are scanned to.
func (u *user) fields() []any {
	return []any{&u.ID, (*timestamp)(&u.UpdatedAt), &u.Deleted, &u.Erased,
		&u.Name, &u.Email, &u.EmailVerified, &u.PhoneNumber, &u.Locale, &u.Custom}
}

// profile returns what to merge: a NULL column removes its field.
func (u *user) profile() (courier.Profile, error) {
	profile := courier.Profile{
		Name:          courier.SetOrNull(u.Name),
		Email:         courier.SetOrNull(u.Email),
		EmailVerified: courier.SetOrNull(u.EmailVerified),
		PhoneNumber:   courier.SetOrNull(u.PhoneNumber),
		Locale:        courier.SetOrNull(u.Locale),
		Custom:        courier.Null[map[string]any](),
	}
	if u.Custom == nil {
		return profile, nil
	}
	// A Field reads numbers as json.Number, so that none is rounded.
	if err := json.Unmarshal(u.Custom, &profile.Custom); err != nil {
		return profile, errors.New("custom: the column is not valid JSON")
	}
	if profile.Custom.Mismatch() != nil {
		return profile, errors.New("custom: the column must be a JSON object or NULL")
	}
	return profile, nil
}
