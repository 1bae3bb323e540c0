package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

type postgres struct{ config *pgx.ConnConfig }

// errURL repeats nothing of the URL, because it contains a password.
var errURL = errors.New("DATABASE_URL cannot be read: use " +
	"postgres://user:password@host/database, and in user and password write " +
	"% as %25, / as %2F, ? as %3F, # as %23, @ as %40, and a space as %20")

func newPostgres(databaseURL string) (*postgres, error) {
	// A / in a password would begin the name of the database, which errors repeat.
	_, rest, _ := strings.Cut(databaseURL, "://")
	if strings.ContainsAny(rest[:max(strings.LastIndex(rest, "@"), 0)], "/?#") {
		return nil, errURL
	}
	if _, err := url.Parse(databaseURL); err != nil {
		return nil, errURL
	}
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, errURL
	}
	return &postgres{config}, nil
}

func (p *postgres) open() (*sql.DB, error) { return stdlib.OpenDB(*p.config), nil }

func (p *postgres) timeType() string { return "timestamptz" }

func (p *postgres) timeValue(at time.Time) any { return at }

// The session holds the lock, so it ends with the connection, however the program ends.
func (p *postgres) lock(ctx context.Context, conn *sql.Conn, t *table) error {
	const query = "SELECT pg_advisory_lock(hashtext('courier_sync'), $1::regclass::oid::int)"
	_, err := conn.ExecContext(ctx, query, quote(t.name))
	return err
}

func (p *postgres) unlock() {}

func (p *postgres) check(
	ctx context.Context, conn *sql.Conn, t *table,
) (source string, err error) {
	// Times as text must be readable, and what row-level security hides behind a view
	// must be an error.
	const session = "SET datestyle = ISO; SET timezone = 'UTC'; SET row_security = off"
	if _, err := conn.ExecContext(ctx, session); err != nil {
		return "", err
	}
	const query = `SELECT concat_ws('.', current_database(), nspname, relname),
			row_security_active(pg_class.oid), atttypid::regtype::text
		FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
		JOIN pg_attribute ON attrelid = pg_class.oid
		WHERE pg_class.oid = $1::regclass AND attname = $2`
	var hides bool
	var kind string
	row := conn.QueryRowContext(ctx, query, quote(t.name), t.updatedAt)
	if err := row.Scan(&source, &hides, &kind); err != nil {
		return "", err
	}
	if hides {
		return "", fmt.Errorf("row-level security can hide rows of %s, which the sync would "+
			"miss: connect as the owner of the table, or as a role with BYPASSRLS", t.name)
	}
	column := quote(t.updatedAt)
	if kind != "timestamp with time zone" {
		return "", fmt.Errorf("%s.%s is a %s: use timestamptz, or sync a view that has %s",
			t.name, t.updatedAt, kind, timestamptz(kind, column))
	}
	// The first run begins with the year 1, and no time before it can be read.
	bad := column + " < '0001-01-01 00:00:00+00' OR " + column + " = 'infinity'"
	return source, checkTimes(ctx, conn, t, bad, func(string) string {
		return "give them a finite time from the year 1 on"
	})
}

// timestamptz is the expression for a column of another type.
func timestamptz(kind, column string) string {
	switch kind {
	case "timestamp without time zone":
		return column + " AT TIME ZONE 'UTC' AS updated_at"
	case "bigint", "integer", "numeric", "double precision", "real":
		return "to_timestamp(" + column + " / 1000.0) AS updated_at, or without / 1000.0 " +
			"if it counts seconds"
	}
	return "a timestamptz"
}

func (p *postgres) now(ctx context.Context, conn *sql.Conn) (at time.Time, err error) {
	return at, conn.QueryRowContext(ctx, "SELECT clock_timestamp()").Scan(&at)
}
