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
	"github.com/courier-profiles/courier-go/couriertest"
)

// sqliteSchema is the users table for SQLite. README.md has it for PostgreSQL.
//
//go:embed sqlite.sql
var sqliteSchema string

// demo syncs a small table twice, with changes in between, to the in-memory fake.
func demo(ctx context.Context, o options, out io.Writer) error {
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
	fake := couriertest.NewServer()
	defer fake.Close()

	d := &demonstration{options: o, out: out, db: db, url: "sqlite:" + path, fake: fake}
	d.client, d.err = fake.Client()
	d.say("This demo uses a users table in a temporary SQLite file, and an in-memory fake of Courier.")
	d.exec(sqliteSchema)
	hourAgo := time.Now().Add(-time.Hour).UTC().Format(sqliteTime)
	d.exec(`INSERT INTO users (id, updated_at, name, email, phone_number, custom) VALUES
		('ada', $1, 'Ada Lovelace', 'ada@example.com', '+15555550101', '{"plan": "pro"}'),
		('bo',  $1, 'Bo Diddley',   'bo@example.com',  '+15555550102', NULL),
		('cy',  $1, 'Cy Young',     'cy@example.com',  NULL,           NULL),
		('di',  $1, 'Di Jones',     'di@example.com',  NULL,           NULL)`, hourAgo)
	if d.err == nil {
		_, d.err = d.client.Profiles.Lists.Subscribe(ctx, "di", []courier.ListSubscription{{ListID: "news"}})
	}
	d.sync(ctx, "\nThe first run reads all four rows:", "ada", "bo", "cy", "di")

	d.say("\nNow Bo removes his phone number, Cy closes his account (deleted_at), Di asks to be erased")
	d.say("(erased_at), and Eve signs up, but her custom column is not a JSON object.")
	now := time.Now().UTC().Format(sqliteTime)
	d.exec(`UPDATE users SET updated_at = $1, phone_number = NULL WHERE id = 'bo'`, now)
	d.exec(`UPDATE users SET updated_at = $1, deleted_at = $1 WHERE id = 'cy'`, now)
	d.exec(`UPDATE users SET updated_at = $1, erased_at = $1 WHERE id = 'di'`, now)
	d.exec(`INSERT INTO users (id, updated_at, name, custom) VALUES ('eve', $1, 'Eve Adams', '["plan"]')`, now)
	d.sync(ctx, "\nThe second run reads only the rows that changed, so not Ada's:", "ada", "bo", "cy", "di", "eve")
	d.rejects()
	return d.err
}

// demonstration skips all steps after an error.
type demonstration struct {
	options
	out    io.Writer
	db     *sql.DB
	url    string
	fake   *couriertest.Server
	client *courier.Client
	err    error
}

func (d *demonstration) say(text string) {
	if d.err == nil {
		fmt.Fprintln(d.out, text)
	}
}

func (d *demonstration) exec(query string, args ...any) {
	if d.err == nil {
		_, d.err = d.db.Exec(query, args...)
	}
}

// sync runs the sync and prints what Courier has of the users afterwards.
func (d *demonstration) sync(ctx context.Context, title string, ids ...string) {
	d.say(title)
	if d.err != nil {
		return
	}
	started := time.Now()
	s := &syncer{options: d.options, client: d.client, out: d.out}
	if s.store, d.err = openStore(ctx, d.url); d.err != nil {
		return
	}
	defer s.store.close()
	d.err = s.run(ctx)
	d.say(s.counts.summary(time.Since(started)) + "Courier now has:")
	for _, id := range ids {
		text := "no profile"
		if profile, ok := d.fake.Profile(id); ok {
			text = profile.String()
		}
		for _, list := range d.fake.Subscriptions(id) {
			text += ", subscribed to " + list.ID
		}
		d.say(fmt.Sprintf("  %-4s %s", id, text))
	}
}

func (d *demonstration) rejects() {
	d.say("\nRejected rows, which a later run syncs once they are fixed:")
	if d.err != nil {
		return
	}
	var id, reason string
	d.err = d.db.QueryRow("SELECT user_id, reason FROM courier_sync_rejects").Scan(&id, &reason)
	d.say(fmt.Sprintf("  %-4s %s", id, reason))
}
