package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// database is what differs between PostgreSQL and SQLite. All other SQL is common to
// both. Values are read as text, so that no value of a row can fail a whole page.
type database interface {
	open() (*sql.DB, error)

	// lock waits until no other sync of the table runs, or until the context ends.
	lock(context.Context, *sql.Conn, *table) error
	unlock()

	// check refuses what would make the sync miss rows. It returns a name of the table
	// that no other one of the server has.
	check(context.Context, *sql.Conn, *table) (source string, err error)

	// now is the time by the clock that sets updated_at.
	now(context.Context, *sql.Conn) (time.Time, error)

	timeType() string        // of a column
	timeValue(time.Time) any // of a parameter
}

func databaseOf(databaseURL string) (database, error) {
	scheme, rest, _ := strings.Cut(databaseURL, ":")
	switch scheme {
	case "postgres", "postgresql":
		return newPostgres(databaseURL)
	case "sqlite":
		return newSQLite(rest)
	}
	// The URL is not repeated here, because it may contain a password.
	return nil, errors.New("DATABASE_URL: use postgres://user:password@host/database, " +
		"or sqlite:path/to/users.db")
}

// quote writes the name of a table or column, which may have a schema, for SQL.
func quote(name string) string {
	name = strings.ReplaceAll(name, `"`, `""`)
	return `"` + strings.ReplaceAll(name, ".", `"."`) + `"`
}

// asText is a column or an expression as text.
func asText(expression string) string { return "CAST(" + expression + " AS TEXT)" }

// checkTimes refuses rows that pagination by updated_at would skip. advice gets the text
// of one of the times.
func checkTimes(
	ctx context.Context, conn *sql.Conn, t *table, bad string, advice func(string) string,
) error {
	var n int64
	var sample sql.Null[string]
	column := quote(t.updatedAt)
	query := "SELECT count(*), min(" + asText(column) + ") FROM " + quote(t.name) +
		" WHERE " + column + " IS NULL OR " + bad
	err := conn.QueryRowContext(ctx, query).Scan(&n, &sample)
	if err == nil && n > 0 {
		err = fmt.Errorf("%s.%s is NULL or unusable in %s, which the sync would miss: %s",
			t.name, t.updatedAt, job.Plural(n, "row", "rows"), advice(sample.V))
	}
	return err
}
