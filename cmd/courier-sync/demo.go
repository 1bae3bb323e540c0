package main

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	courier "github.com/courier-profiles/courier-go"
	"github.com/courier-profiles/courier-go/cmd/internal/job"
)

// sqliteSchema is the users table for SQLite. README.md has it for PostgreSQL.
//
//go:embed sqlite.sql
var sqliteSchema string

// demo syncs a small table twice, with changes in between, to the in-memory fake.
func demo(ctx, drain context.Context, o options, out io.Writer) error {
	folder, err := os.MkdirTemp("", "courier-sync-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "users.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer db.Close()
	client, err := job.NewClient(true)
	if err != nil {
		return err
	}
	defer client.Close()
	news := []courier.ListSubscription{{ListID: "news"}}
	if _, err := client.Profiles.Lists.Subscribe(ctx, "di", news); err != nil {
		return err
	}

	fmt.Fprintln(out, "This demo uses a users table in a temporary SQLite file, and an "+
		"in-memory fake of Courier.")
	hourAgo := time.Now().Add(-time.Hour).UTC().Format(sqliteTime)
	_, err = db.ExecContext(ctx, sqliteSchema+`;
		INSERT INTO users (id, updated_at, name, email, phone_number, custom) VALUES
		('ada', $1, 'Ada Lovelace', 'ada@example.com', '+15555550101', '{"plan": "pro"}'),
		('bo',  $1, 'Bo Diddley',   'bo@example.com',  '+15555550102', NULL),
		('cy',  $1, 'Cy Young',     'cy@example.com',  NULL,           NULL),
		('di',  $1, 'Di Jones',     'di@example.com',  NULL,           NULL)`, hourAgo)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\nThe first run reads all four rows:")
	o.table = users
	if err := demoRun(ctx, drain, o, client, path, out); err != nil {
		return err
	}

	fmt.Fprintln(out, "\nNow Bo removes his phone number, Cy closes his account (deleted_at), "+
		"Di asks to be erased\n(erased_at), and Eve signs up, but her custom column is not a "+
		"JSON object.")
	now := time.Now().UTC().Format(sqliteTime)
	_, err = db.ExecContext(ctx, `
		UPDATE users SET updated_at = $1, phone_number = NULL WHERE id = 'bo';
		UPDATE users SET updated_at = $1, deleted_at = $1 WHERE id = 'cy';
		UPDATE users SET updated_at = $1, erased_at = $1 WHERE id = 'di';
		INSERT INTO users (id, updated_at, custom) VALUES ('eve', $1, '["plan"]')`, now)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "\nThe second run reads only the rows that changed, so not Ada's:")
	if err := demoRun(ctx, drain, o, client, path, out); err != nil {
		return err
	}
	var id, reason string
	const query = "SELECT user_id, reason FROM courier_sync_rejects"
	err = db.QueryRowContext(ctx, query).Scan(&id, &reason)
	fmt.Fprintf(out, "\nRejected rows, which a later run syncs once they are fixed:\n  %-4s %s\n",
		id, reason)
	return err
}

// demoRun runs the sync and prints what Courier has of the users afterwards.
func demoRun(
	ctx, drain context.Context, o options, client *job.Client, path string, out io.Writer,
) error {
	s := &syncer{options: o, client: client, out: out}
	if err := s.open(ctx, "sqlite:"+path); err != nil {
		return err
	}
	defer s.store.close()
	err := s.run(ctx, drain)
	s.writeCounts(out)
	fmt.Fprintln(out, "Courier now has:")
	for _, id := range []string{"ada", "bo", "cy", "di", "eve"} {
		text := "no profile"
		if profile, ok := client.Fake.Profile(id); ok {
			text = profile.String()
		}
		for _, list := range client.Fake.Subscriptions(id) {
			text += ", subscribed to " + list.ID
		}
		fmt.Fprintf(out, "  %-4s %s\n", id, text)
	}
	return err
}
