package main

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	courier "github.com/courier-profiles/courier-go"
)

// users is the table that is synced, and what its columns mean. To sync another one,
// change this, or create a view that has these columns (see README.md).
//
// The table needs only the first two columns. One that it does not have switches off
// what it is for.
var users = table{
	name:      "users", // or with a schema: app.users; the flag -table wins
	id:        "id",
	updatedAt: "updated_at",
	deletedAt: "deleted_at",
	erasedAt:  "erased_at",
	fields: func(p *courier.Profile) []field {
		return []field{
			{"name", into(&p.Name, text)},
			{"email", into(&p.Email, text)},
			{"email_verified", into(&p.EmailVerified, boolean)},
			{"phone_number", into(&p.PhoneNumber, text)},
			{"locale", into(&p.Locale, text)},
			{"custom", into(&p.Custom, object)},
		}
	},
}

type table struct {
	name      string
	id        string // unique; text, a number, or a uuid
	updatedAt string // when the row changed last
	deletedAt string // since when the user has no profile
	erasedAt  string // since when the user has no profile and no list subscriptions
	fields    func(*courier.Profile) []field
}

// field is a column that becomes a field of the profile. NULL, a nil value, removes it.
type field struct {
	column string
	set    func(value *string) error
}

func into[T any](
	f *courier.Field[T], read func(string) (courier.Field[T], error),
) func(*string) error {
	return func(value *string) (err error) {
		if *f = courier.Null[T](); value != nil {
			*f, err = read(*value)
		}
		return err
	}
}

func text(value string) (courier.Field[string], error) { return courier.Set(value), nil }

func boolean(value string) (courier.Field[bool], error) {
	is, err := strconv.ParseBool(value) // true and false, t and f, 1 and 0
	if err != nil {
		err = errors.New("the column must be true, false, or NULL")
	}
	return courier.Set(is), err
}

func object(value string) (f courier.Field[map[string]any], err error) {
	// A Field reads numbers as json.Number, so that none is rounded.
	switch {
	case json.Unmarshal([]byte(value), &f) != nil:
		err = errors.New("the column is not valid JSON")
	case f.Mismatch() != nil:
		err = errors.New("the column must be a JSON object or NULL")
	}
	return f, err
}

// columns returns the columns other than id and updatedAt.
func (t *table) columns() []string {
	columns := []string{t.deletedAt, t.erasedAt}
	for _, f := range t.fields(new(courier.Profile)) {
		columns = append(columns, f.column)
	}
	return columns
}

// row is a row of the table.
type row struct {
	id        string
	updatedAt time.Time
	deleted   bool // the profile is to be deleted
	erased    bool // the profile and the list subscriptions are to be deleted
	profile   courier.Profile
	err       error // why the row cannot be synced before somebody fixes it
	rejected  bool  // an earlier run has rejected the row
}

// isDeletion reports whether a request deletes the user's profile.
func (r *row) isDeletion() bool { return r.err == nil && (r.deleted || r.erased) }

// read reads into a row the values of columns.
func (t *table) read(r *row, columns []string, values []*string) {
	set := func(column string, set func(*string) error) {
		i := slices.Index(columns, column)
		if i < 0 || r.err != nil {
			return
		}
		if err := set(values[i]); err != nil {
			r.err = &courier.ValidationError{Field: column, Reason: err.Error()}
		}
	}
	set(t.deletedAt, since(&r.deleted))
	set(t.erasedAt, since(&r.erased))
	if r.isDeletion() {
		return // no fields are sent, so that none can keep the profile from being deleted
	}
	for _, f := range t.fields(&r.profile) {
		set(f.column, f.set)
	}
}

// since reads whether a column has a time. A value that only stands for "never", such as an
// empty text, 0, or a time in the year 9999, must not delete a profile.
func since(is *bool) func(*string) error {
	return func(value *string) error {
		if value == nil {
			return nil
		}
		*is = true
		at, err := parseTime(*value)
		if err != nil || at.Year() <= 1970 || at.After(time.Now().AddDate(0, 0, 1)) {
			return errors.New("the column must be NULL or a time in the past, " +
				"such as 2026-11-26 08:30:00")
		}
		return nil
	}
}

// parseTime reads a time in a form that databases write.
func parseTime(text string) (at time.Time, err error) {
	for _, layout := range []string{
		"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05-0700", "2006-01-02 15:04:05-07",
		"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05-0700", "2006-01-02T15:04:05-07",
		"2006-01-02 15:04:05", "2006-01-02T15:04:05", time.DateOnly,
	} {
		if at, err = time.Parse(layout, text); err == nil {
			break
		}
	}
	return at.UTC(), err
}
