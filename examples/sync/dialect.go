package main

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// dialect is what differs between the databases. All other SQL is common to both.
type dialect struct {
	driver, dsn string
	timeType    string                                              // of a column
	timeValue   func(time.Time) any                                 // of a parameter
	now         func(context.Context, *sql.Conn) (time.Time, error) // by the clock that sets updated_at
	check       func(context.Context, *sql.Conn) error              // what would make the sync miss rows
	lock        func(context.Context, *sql.Conn) (bool, error)      // true unless another sync holds it
	unlock      func() error
}

func dialectOf(databaseURL string) (*dialect, error) {
	scheme, rest, _ := strings.Cut(databaseURL, ":")
	switch scheme {
	case "postgres", "postgresql":
		return postgres(databaseURL), nil
	case "sqlite":
		return sqlite(rest)
	}
	// The URL is not repeated here, because it may contain a password.
	return nil, fmt.Errorf("DATABASE_URL: use postgres://user:password@host/database, or sqlite:path/to/users.db")
}

func postgres(databaseURL string) *dialect {
	return &dialect{
		driver:    "pgx",
		dsn:       databaseURL,
		timeType:  "timestamptz",
		timeValue: func(t time.Time) any { return t },
		now: func(ctx context.Context, conn *sql.Conn) (t time.Time, err error) {
			return t, conn.QueryRowContext(ctx, "SELECT clock_timestamp()").Scan((*timestamp)(&t))
		},
		check: func(ctx context.Context, conn *sql.Conn) error {
			var kind string
			err := conn.QueryRowContext(ctx, `SELECT atttypid::regtype FROM pg_attribute WHERE attrelid = $1::regclass AND attname = 'updated_at'`, table).Scan(&kind)
			if err != nil {
				return fmt.Errorf("find %s.updated_at: %w", table, err)
			}
			if kind != "timestamp with time zone" {
				return fmt.Errorf("%s.updated_at is a %s: change it to timestamptz, so that it means the same in every time zone", table, kind)
			}
			return checkTimes(ctx, conn, "updated_at IN ('-infinity', 'infinity')", "give them a finite updated_at")
		},
		// The session holds the lock, so it ends with the connection, however the program ends.
		lock: func(ctx context.Context, conn *sql.Conn) (locked bool, err error) {
			return locked, conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock(hashtext('courier_sync'), $1::regclass::oid::int)", table).Scan(&locked)
		},
		unlock: func() error { return nil },
	}
}

// sqliteTime is the form of the times in SQLite. Text compares as time does only if
// all times have the same length and the same zone.
const (
	sqliteTime = "2006-01-02T15:04:05.000000Z"
	sqliteGlob = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z"
)

func sqlite(path string) (*dialect, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	lock := flock.New(path + ".sync-lock")
	query := url.Values{
		"mode":    {"rw"}, // a mistyped path is an error, not a new database
		"_pragma": {"busy_timeout(10000)"},
		"_txlock": {"immediate"},
	}
	return &dialect{
		driver:    "sqlite",
		dsn:       (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: query.Encode()}).String(),
		timeType:  "TEXT",
		timeValue: func(t time.Time) any { return t.UTC().Format(sqliteTime) },
		now:       func(context.Context, *sql.Conn) (time.Time, error) { return time.Now(), nil },
		check: func(ctx context.Context, conn *sql.Conn) error {
			return checkTimes(ctx, conn, "updated_at NOT GLOB '"+sqliteGlob+"'",
				"store it as UTC in the form "+sqliteTime+", for instance with strftime('%Y-%m-%dT%H:%M:%f000Z', updated_at)")
		},
		lock:   func(context.Context, *sql.Conn) (bool, error) { return lock.TryLock() },
		unlock: lock.Unlock,
	}, nil
}

// checkTimes refuses rows that pagination by updated_at would skip.
func checkTimes(ctx context.Context, conn *sql.Conn, bad, advice string) error {
	var n int64
	err := conn.QueryRowContext(ctx, "SELECT count(*) FROM "+table+" WHERE updated_at IS NULL OR "+bad).Scan(&n)
	if err == nil && n > 0 {
		err = fmt.Errorf("%s.updated_at is NULL or unusable in %d row(s), which the sync would miss: %s", table, n, advice)
	}
	return err
}

// timestamp scans a time of either database.
type timestamp time.Time

func (t *timestamp) Scan(value any) error {
	switch value := value.(type) {
	case time.Time:
		*t = timestamp(value.UTC())
		return nil
	case string:
		at, err := time.Parse(sqliteTime, value)
		*t = timestamp(at)
		return err
	}
	return fmt.Errorf("a time is a %T", value)
}
