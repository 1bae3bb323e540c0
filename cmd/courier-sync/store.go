package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// position is a place in the order of updated_at and id.
type position struct {
	UpdatedAt time.Time
	ID        sql.Null[string] // of the row before; NULL is before all rows of UpdatedAt
}

// position returns the place behind the row.
func (r *row) position() position {
	return position{UpdatedAt: r.updatedAt, ID: sql.Null[string]{V: r.id, Valid: true}}
}

// watermark is what the database remembers between runs.
type watermark struct {
	position           // all rows before it are settled
	Until    time.Time // where a run that did not finish was to end; zero if it did
}

// rejection is a row that cannot be synced before somebody fixes it.
type rejection struct {
	ID        string
	UpdatedAt time.Time
	Reason    string
}

// schema is the tables of the sync. Ids are text, whatever type the table has.
const schema = `
CREATE TABLE IF NOT EXISTS courier_sync (
	source     TEXT PRIMARY KEY, -- database, schema, and table
	updated_at TIME NOT NULL,
	id         TEXT,
	until      TIME
);
CREATE TABLE IF NOT EXISTS courier_sync_rejects (
	source      TEXT NOT NULL,
	user_id     TEXT NOT NULL,
	updated_at  TIME NOT NULL,
	reason      TEXT NOT NULL,
	rejected_at TIME NOT NULL,
	PRIMARY KEY (source, user_id)
)`

// lockPatience is how long a sync waits for one that is just ending, or was killed.
const lockPatience = 5 * time.Second

var errLocked = errors.New("another sync of this table is running: " +
	"try again when it has finished")

// store reads the table and keeps the state of the sync. It uses one connection, so
// that the lock cannot be lost while the sync continues.
type store struct {
	database
	table   *table
	source  string
	columns []string // of the table, but for id and updatedAt
	missing []string // those that the table does not have

	db   *sql.DB
	conn *sql.Conn
}

// openStore connects to the database, takes the lock, and creates missing tables.
func openStore(ctx context.Context, d database, t *table) (*store, error) {
	db, err := d.open()
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	s := &store{database: d, table: t, db: db, conn: conn}
	if err := s.begin(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *store) begin(ctx context.Context) error {
	if err := s.findColumns(ctx); err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	switch err := s.lock(patience, s.conn, s.table); {
	case patience.Err() != nil:
		return errLocked
	case err != nil:
		return fmt.Errorf("lock %s: %w", s.table.name, err)
	}
	var err error
	if s.source, err = s.check(ctx, s.conn, s.table); err != nil {
		return err
	}
	return s.createTables(ctx)
}

func (s *store) close() {
	s.conn.Close()
	s.db.Close()
	s.unlock()
}

// findColumns finds out which columns the table has.
func (s *store) findColumns(ctx context.Context) error {
	query := "SELECT * FROM " + quote(s.table.name) + " WHERE 1 = 0"
	rows, err := s.conn.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	all, err := rows.Columns()
	if err != nil {
		return err
	}
	for _, column := range []string{s.table.id, s.table.updatedAt} {
		if !slices.Contains(all, column) {
			return fmt.Errorf("%s has no column %s, but %s: change table.go, or sync a view",
				s.table.name, column, strings.Join(all, ", "))
		}
	}
	for _, column := range s.table.columns() {
		if slices.Contains(all, column) {
			s.columns = append(s.columns, column)
		} else {
			s.missing = append(s.missing, column)
		}
	}
	return rows.Err()
}

// createTables creates the tables of the sync only if they are missing, because the role
// of a nightly job may not be allowed to.
func (s *store) createTables(ctx context.Context) error {
	const query = "SELECT a.source, b.source FROM courier_sync a, courier_sync_rejects b LIMIT 0"
	if _, err := s.conn.ExecContext(ctx, query); err == nil {
		return nil
	}
	statements := strings.ReplaceAll(schema, " TIME", " "+s.timeType())
	if _, err := s.conn.ExecContext(ctx, statements); err != nil {
		return fmt.Errorf("create the tables of the sync: %w", err)
	}
	if _, err := s.conn.ExecContext(ctx, query); err != nil {
		return fmt.Errorf("drop the tables courier_sync and courier_sync_rejects, which an "+
			"earlier version created; then all rows are synced again: %w", err)
	}
	return nil
}

// watermark returns the zero watermark before the first run.
func (s *store) watermark(ctx context.Context) (w watermark, err error) {
	var at string
	var until sql.Null[string]
	query := "SELECT " + asText("updated_at") + ", id, " + asText("until") +
		" FROM courier_sync WHERE source = $1"
	err = s.conn.QueryRowContext(ctx, query, s.source).Scan(&at, &w.ID, &until)
	if errors.Is(err, sql.ErrNoRows) {
		return watermark{}, nil
	}
	if err == nil {
		w.UpdatedAt, err = parseTime(at)
	}
	if err == nil && until.Valid {
		w.Until, err = parseTime(until.V)
	}
	return w, err
}

// between returns the condition for the rows from a position to a time, and its
// parameters.
func (s *store) between(from position, until time.Time) (condition string, args []any) {
	at, id := quote(s.table.updatedAt), quote(s.table.id)
	args = []any{s.timeValue(until), s.timeValue(from.UpdatedAt)}
	condition = fmt.Sprintf("t.%s <= $1 AND t.%s >= $2", at, at)
	if from.ID.Valid {
		condition = fmt.Sprintf("t.%s <= $1 AND (t.%s, t.%s) > ($2, $3)", at, at, id)
		args = append(args, from.ID.V)
	}
	// A row without an id has no place in the order.
	return condition + fmt.Sprintf(" AND t.%s IS NOT NULL", id), args
}

// pageQuery returns the query of a page. It needs an index on updated_at and id.
func (s *store) pageQuery(from position, until time.Time, limit int) (string, []any) {
	at, id := "t."+quote(s.table.updatedAt), "t."+quote(s.table.id)
	condition, args := s.between(from, until)
	args = append(args, s.source)
	selected := fmt.Sprintf(`EXISTS (SELECT 1 FROM courier_sync_rejects
		WHERE source = $%d AND user_id = %s)`, len(args), asText(id))
	selected += ", " + asText(id) + ", " + asText(at)
	for _, column := range s.columns {
		selected += ", " + asText("t."+quote(column))
	}
	return fmt.Sprintf("SELECT %s FROM %s t WHERE %s ORDER BY %s, %s LIMIT %d",
		selected, quote(s.table.name), condition, at, id, limit), args
}

// page returns the next rows. They are in memory when it returns, so that nothing
// stays open in the database while they are sent.
func (s *store) page(
	ctx context.Context, from position, until time.Time, limit int,
) (rows []row, err error) {
	query, args := s.pageQuery(from, until, limit)
	found, err := s.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	for found.Next() {
		var r row
		var at string
		values := make([]*string, len(s.columns))
		targets := []any{&r.rejected, &r.id, &at}
		for i := range values {
			targets = append(targets, &values[i])
		}
		if err := found.Scan(targets...); err != nil {
			return nil, err
		}
		if r.updatedAt, err = parseTime(at); err != nil {
			return nil, fmt.Errorf("a %s cannot be read as a time", s.table.updatedAt)
		}
		s.table.read(&r, s.columns, values)
		rows = append(rows, r)
	}
	return rows, found.Err()
}

// count returns how many rows meet a condition.
func (s *store) count(ctx context.Context, condition string, args ...any) (n int64, err error) {
	query := "SELECT count(*) FROM " + quote(s.table.name) + " t WHERE " + condition
	err = s.conn.QueryRowContext(ctx, query, args...).Scan(&n)
	if err != nil {
		err = fmt.Errorf("count rows of %s: %w", s.table.name, err)
	}
	return n, err
}

// countDeletions returns how many rows from a position to a time are to be deleted.
func (s *store) countDeletions(
	ctx context.Context, from position, until time.Time,
) (int64, error) {
	condition, args := s.between(from, until)
	isSet := "1 = 0"
	for _, column := range []string{s.table.deletedAt, s.table.erasedAt} {
		if slices.Contains(s.columns, column) {
			isSet += " OR t." + quote(column) + " IS NOT NULL"
		}
	}
	return s.count(ctx, condition+" AND ("+isSet+")", args...)
}

// save moves the watermark and brings the table of rejected rows up to date, in one
// transaction.
func (s *store) save(
	ctx context.Context, w watermark, rejected []rejection, fixed []string,
) error {
	tx, err := s.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	exec := func(query string, args ...any) {
		if err == nil {
			_, err = tx.ExecContext(ctx, query, append([]any{s.source}, args...)...)
		}
	}
	for _, id := range fixed {
		exec("DELETE FROM courier_sync_rejects WHERE source = $1 AND user_id = $2", id)
	}
	for _, r := range rejected {
		exec(`INSERT INTO courier_sync_rejects (source, user_id, updated_at, reason, rejected_at)
			VALUES ($1, $2, $3, $4, $5) ON CONFLICT (source, user_id) DO UPDATE SET
			updated_at = excluded.updated_at, reason = excluded.reason,
			rejected_at = excluded.rejected_at`,
			r.ID, s.timeValue(r.UpdatedAt), r.Reason, s.timeValue(time.Now()))
	}
	var until any
	if !w.Until.IsZero() {
		until = s.timeValue(w.Until)
	}
	exec(`INSERT INTO courier_sync (source, updated_at, id, until)
		VALUES ($1, $2, $3, $4) ON CONFLICT (source) DO UPDATE SET
		updated_at = excluded.updated_at, id = excluded.id, until = excluded.until`,
		s.timeValue(w.UpdatedAt), w.ID, until)
	if err != nil {
		return err
	}
	return tx.Commit()
}
