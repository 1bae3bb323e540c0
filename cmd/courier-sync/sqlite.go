package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gofrs/flock"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// sqliteTime is the form of the times in SQLite. Text compares as time does only if
// all times have the same length and the same zone.
const (
	sqliteTime = "2006-01-02T15:04:05.000000Z"
	sqliteGlob = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T" +
		"[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z"
)

type sqlite struct {
	path string
	file *flock.Flock
}

func newSQLite(path string) (*sqlite, error) {
	file, err := job.Open(path) // its error is the better one
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	file.Close()
	path, err = filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path) // all names of the file have one lock
	}
	return &sqlite{path, flock.New(path + ".sync-lock")}, err
}

func (s *sqlite) open() (*sql.DB, error) {
	query := url.Values{
		"mode":    {"rw"},
		"_pragma": {"busy_timeout(10000)"},
		"_txlock": {"immediate"},
	}
	dsn := url.URL{Scheme: "file", Path: filepath.ToSlash(s.path), RawQuery: query.Encode()}
	return sql.Open("sqlite", dsn.String())
}

func (s *sqlite) timeType() string { return "TEXT" }

func (s *sqlite) timeValue(at time.Time) any { return at.UTC().Format(sqliteTime) }

func (s *sqlite) lock(ctx context.Context, _ *sql.Conn, _ *table) error {
	_, err := s.file.TryLockContext(ctx, 100*time.Millisecond)
	return err
}

func (s *sqlite) unlock() { _ = s.file.Unlock() }

func (s *sqlite) check(ctx context.Context, conn *sql.Conn, t *table) (string, error) {
	if err := checkIDs(ctx, conn, t); err != nil {
		return "", err
	}
	column := quote(t.updatedAt)
	// The first run begins with the year 1.
	bad := column + " NOT GLOB '" + sqliteGlob + "' OR " + column + " < '0001'"
	// The file, which may be moved, has no other table of the name.
	return t.name, checkTimes(ctx, conn, t, bad, func(sample string) string {
		return "store it as UTC in the form " + sqliteTime + ", or sync a view that has " +
			"strftime('%Y-%m-%dT%H:%M:%f000Z', " + strftimeValue(column, sample) + ") " +
			"AS updated_at"
	})
}

// checkIDs refuses ids that do not equal their own text: numbers in a column without a type,
// and BLOBs. Pages begin after the text of an id, so they would skip such rows, or repeat
// them without end.
func checkIDs(ctx context.Context, conn *sql.Conn, t *table) error {
	id := quote(t.id)
	// || '' leaves a text without affinity, as a parameter is.
	query := "SELECT count(*) FROM " + quote(t.name) + " WHERE " + id + " <> " + asText(id) + " || ''"
	var n int64
	err := conn.QueryRowContext(ctx, query).Scan(&n)
	if err == nil && n > 0 {
		err = fmt.Errorf("%s.%s is a BLOB, or a number in a column without a type, in %s: sync a "+
			"view that has %s AS id, or hex(%s) AS id for binary ids",
			t.name, t.id, job.Plural(n, "row", "rows"), asText(id), id)
	}
	return err
}

// strftimeValue returns the arguments of strftime for a column with such a time.
func strftimeValue(column, sample string) string {
	const minMilliseconds = 1e11 // since 1970: in 1973, which as seconds is the year 5138
	n, err := strconv.ParseFloat(sample, 64)
	switch {
	case err != nil:
		return column
	case n < minMilliseconds:
		return column + ", 'unixepoch'"
	}
	return column + " / 1000.0, 'unixepoch'"
}

func (s *sqlite) now(context.Context, *sql.Conn) (time.Time, error) { return time.Now(), nil }
