CREATE TABLE users (
	id             TEXT PRIMARY KEY NOT NULL,
	updated_at     TEXT NOT NULL, -- UTC, such as 2026-11-26T08:30:00.000000Z; set by every write
	deleted_at     TEXT,
	erased_at      TEXT,
	name           TEXT,
	email          TEXT,
	email_verified BOOLEAN,
	phone_number   TEXT,
	locale         TEXT,
	custom         TEXT           -- a JSON object
);
CREATE INDEX users_changed ON users (updated_at, id);
