package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// position is a place in the order of (updated_at, id).
type position struct {
	UpdatedAt time.Time
	ID        sql.Null[string] // the row before the place; if NULL, it is before all rows of UpdatedAt
}

// watermark is what the database remembers between runs.
type watermark struct {
	position           // all rows before it are settled
	Until    time.Time // the end of the range of a run that did not finish; zero if it did
}

// rejection is a row that cannot be synced until somebody fixes it.
type rejection struct {
	ID        string
	UpdatedAt time.Time
	Reason    string
}

// The tables of the sync. id and user_id are text whatever the id of a user is.
const schema = `
CREATE TABLE IF NOT EXISTS courier_sync (
	name       TEXT PRIMARY KEY,
	updated_at TIME NOT NULL,
	id         TEXT,
	until      TIME
);
CREATE TABLE IF NOT EXISTS courier_sync_rejects (
	user_id     TEXT PRIMARY KEY,
	updated_at  TIME NOT NULL,
	reason      TEXT NOT NULL,
	rejected_at TIME NOT NULL
)`

// lockPatience is how long a sync waits for one that is just ending, or was killed.
const lockPatience = 5 * time.Second

var errLocked = errors.New("another sync of this table is running: try again when it has finished")

// store reads the table and keeps the state of the sync. It uses one connection, so
// that the lock cannot be lost while the sync continues.
type store struct {
	*dialect
	db   *sql.DB
	conn *sql.Conn
}

// openStore connects to the database, takes the lock and creates missing tables.
func openStore(ctx context.Context, databaseURL string) (*store, error) {
	d, err := dialectOf(databaseURL)
	if err != nil {
		return nil, err
	}
	s := &store{dialect: d}
	if s.db, err = sql.Open(d.driver, d.dsn); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if s.conn, err = s.db.Conn(ctx); err != nil {
		s.db.Close()
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	if err := s.begin(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *store) begin(ctx context.Context) error {
	for wait := time.Duration(0); ; wait += lockPatience / 50 {
		locked, err := s.lock(ctx, s.conn)
		if err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		if locked {
			break
		}
		if wait >= lockPatience {
			return errLocked
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", errLocked, ctx.Err())
		case <-time.After(lockPatience / 50):
		}
	}
	if err := s.check(ctx, s.conn); err != nil {
		return err
	}
	// Check first, because the role of a nightly job may not be allowed to create
	// tables.
	if _, err := s.conn.ExecContext(ctx, "SELECT 1 FROM courier_sync, courier_sync_rejects WHERE 1 = 0"); err == nil {
		return nil
	}
	for statement := range strings.SplitSeq(strings.ReplaceAll(schema, "TIME", s.timeType), ";") {
		if _, err := s.conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("create the tables of the sync: %w", err)
		}
	}
	return nil
}

func (s *store) close() {
	s.conn.Close()
	s.db.Close()
	_ = s.unlock()
}

// watermark returns the zero watermark before the first run.
func (s *store) watermark(ctx context.Context) (w watermark, err error) {
	var until sql.Null[timestamp]
	row := s.conn.QueryRowContext(ctx, "SELECT updated_at, id, until FROM courier_sync WHERE name = $1", table)
	err = row.Scan((*timestamp)(&w.UpdatedAt), &w.ID, &until)
	if errors.Is(err, sql.ErrNoRows) {
		return watermark{}, nil
	}
	w.Until = time.Time(until.V)
	return w, err
}

// between returns the condition for the rows from a position to a time, and its parameters.
func (s *store) between(from position, until time.Time) (condition string, args []any) {
	condition, args = "updated_at >= $2", []any{s.timeValue(until), s.timeValue(from.UpdatedAt)}
	if from.ID.Valid {
		condition, args = "(updated_at, id) > ($2, $3)", append(args, from.ID.V)
	}
	// A row without an id has no place in the order; rejectWithoutID finds it.
	return "updated_at <= $1 AND " + condition + " AND id IS NOT NULL", args
}

// pageQuery returns the query of a page. It needs an index on (updated_at, id).
func (s *store) pageQuery(from position, until time.Time, limit int) (query string, args []any) {
	condition, args := s.between(from, until)
	return fmt.Sprintf(`SELECT %s, EXISTS (SELECT 1 FROM courier_sync_rejects WHERE user_id = CAST(%s.id AS TEXT))
FROM %s WHERE %s ORDER BY updated_at, id LIMIT %d`, columns, table, table, condition, limit), args
}

// page returns the next rows. They are in memory when it returns, so that nothing
// stays open in the database while they are sent.
func (s *store) page(ctx context.Context, from position, until time.Time, limit int) ([]user, error) {
	query, args := s.pageQuery(from, until, limit)
	rows, err := s.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	users := make([]user, 0, limit)
	for rows.Next() {
		var u user
		if err := rows.Scan(append(u.fields(), &u.WasRejected)...); err != nil {
			// What follows the name of the column is its value.
			if text, _, found := strings.Cut(err.Error(), `": `); found {
				err = errors.New(text + `"`)
			}
			return nil, err
		}
		users = append(users, u)
	}
	return users, rows.Err()
}

// count returns how many rows there are from a position to a time.
func (s *store) count(ctx context.Context, from position, until time.Time) (n int64, err error) {
	condition, args := s.between(from, until)
	err = s.conn.QueryRowContext(ctx, "SELECT count(*) FROM "+table+" WHERE "+condition, args...).Scan(&n)
	return n, err
}

// countLater returns how many rows have a time after until.
func (s *store) countLater(ctx context.Context, until time.Time) (n int64, err error) {
	err = s.conn.QueryRowContext(ctx, "SELECT count(*) FROM "+table+" WHERE updated_at > $1", s.timeValue(until)).Scan(&n)
	return n, err
}

// rejectWithoutID counts the rows that should have a profile but have no id, and
// keeps one entry in the table of rejected rows for all of them.
func (s *store) rejectWithoutID(ctx context.Context) (n int64, err error) {
	const reason = "a row has no id: give it one, or delete it"
	err = s.conn.QueryRowContext(ctx, "SELECT count(*) FROM "+table+" WHERE id IS NULL AND deleted_at IS NULL AND erased_at IS NULL").Scan(&n)
	switch {
	case err != nil:
	case n > 0:
		_, err = s.conn.ExecContext(ctx, insertReject, "", s.timeValue(time.Now()), reason, s.timeValue(time.Now()))
	default:
		_, err = s.conn.ExecContext(ctx, "DELETE FROM courier_sync_rejects WHERE user_id = '' AND reason = $1", reason)
	}
	return n, err
}

const insertReject = `INSERT INTO courier_sync_rejects (user_id, updated_at, reason, rejected_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id) DO UPDATE SET updated_at = excluded.updated_at, reason = excluded.reason, rejected_at = excluded.rejected_at`

// save moves the watermark and brings the table of rejected rows up to date, in one
// transaction.
func (s *store) save(ctx context.Context, w watermark, rejected []rejection, fixed []string) error {
	tx, err := s.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, id := range fixed {
		if _, err := tx.ExecContext(ctx, "DELETE FROM courier_sync_rejects WHERE user_id = $1", id); err != nil {
			return err
		}
	}
	for _, r := range rejected {
		if _, err := tx.ExecContext(ctx, insertReject,
			r.ID, s.timeValue(r.UpdatedAt), r.Reason, s.timeValue(time.Now())); err != nil {
			return err
		}
	}
	var until any
	if !w.Until.IsZero() {
		until = s.timeValue(w.Until)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO courier_sync (name, updated_at, id, until) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE SET updated_at = excluded.updated_at, id = excluded.id, until = excluded.until`,
		table, s.timeValue(w.UpdatedAt), w.ID, until); err != nil {
		return err
	}
	return tx.Commit()
}
