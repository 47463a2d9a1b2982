package store

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Dialect is the language that a database speaks.
type Dialect int

const (
	// PostgreSQL 14 or later.
	PostgreSQL Dialect = iota + 1
	// SQLite 3.42 or later.
	SQLite
)

// Schema returns the statements that make the table of a [SQL], unless it is there: for
// databases in which applications make no tables. What is written and read takes the
// rights to SELECT, INSERT, UPDATE and DELETE in it. The table is named as in [SQLConfig].
func (d Dialect) Schema(table string) (string, error) {
	sql, err := d.statements(table)
	return sql.schema, err
}

// statements are all that is ever said to a database. It alone tells the time, so that
// those who share it agree: not the time at which a transaction began, but that at which a
// row is looked at.
type statements struct {
	exists   string // of the table; a row with a boolean
	schema   string
	settings string // rows with what is wrong, in words
	load     string // by key, and the revision that is known; value and revision
	create   string // key, revision, value, seconds to live
	replace  string // key, old revision, new revision, value, seconds to live
	remove   string // key, revision
	sweep    string // number of rows
}

var (
	//go:embed schema/postgresql.sql
	postgreSQLSchema string
	//go:embed schema/sqlite.sql
	sqliteSchema string
)

var dialects = map[Dialect]statements{
	PostgreSQL: {
		exists: `SELECT to_regclass('tokenwell') IS NOT NULL`,
		schema: postgreSQLSchema,
		settings: `SELECT 'synchronous_commit is off: a crash forgets writes that were acknowledged'
			WHERE current_setting('synchronous_commit') = 'off'`,
		load: `SELECT CASE WHEN rev = $2 THEN NULL ELSE value END, rev FROM tokenwell
			WHERE key = $1 AND expires > clock_timestamp()`,
		create: `INSERT INTO tokenwell AS t (key, rev, value, expires)
			VALUES ($1, $2, $3, clock_timestamp() + make_interval(secs => $4))
			ON CONFLICT (key) DO UPDATE SET rev = excluded.rev, value = excluded.value, expires = excluded.expires
			WHERE t.expires <= clock_timestamp()`,
		replace: `UPDATE tokenwell SET rev = $3, value = $4, expires = clock_timestamp() + make_interval(secs => $5)
			WHERE key = $1 AND rev = $2 AND expires > clock_timestamp()`,
		remove: `DELETE FROM tokenwell WHERE key = $1 AND rev = $2 AND expires > clock_timestamp()`,
		// Those who sweep at the same time share the rows, and nobody waits for anybody.
		sweep: `DELETE FROM tokenwell WHERE key = ANY (ARRAY(
			SELECT key FROM tokenwell WHERE quarter <= now() - interval '15 minutes'
			ORDER BY quarter LIMIT $1 FOR UPDATE SKIP LOCKED))`,
	},
	SQLite: {
		exists: `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'tokenwell')`,
		schema: sqliteSchema,
		settings: `SELECT 'journal_mode is not WAL: readers and writers wait for each other'
			FROM pragma_journal_mode WHERE journal_mode <> 'wal'
			UNION ALL SELECT 'busy_timeout is 0: a write fails while another process writes'
			FROM pragma_busy_timeout WHERE timeout = 0
			UNION ALL SELECT 'synchronous is not FULL: a power failure forgets writes that were acknowledged'
			FROM pragma_synchronous WHERE synchronous < 2`,
		load: `SELECT CASE WHEN rev = ?2 THEN NULL ELSE value END, rev FROM tokenwell
			WHERE key = ?1 AND expires > unixepoch('subsec')`,
		create: `INSERT INTO tokenwell (key, rev, value, expires) VALUES (?1, ?2, ?3, unixepoch('subsec') + ?4)
			ON CONFLICT (key) DO UPDATE SET rev = excluded.rev, value = excluded.value, expires = excluded.expires
			WHERE expires <= unixepoch('subsec')`,
		replace: `UPDATE tokenwell SET rev = ?3, value = ?4, expires = unixepoch('subsec') + ?5
			WHERE key = ?1 AND rev = ?2 AND expires > unixepoch('subsec')`,
		remove: `DELETE FROM tokenwell WHERE key = ?1 AND rev = ?2 AND expires > unixepoch('subsec')`,
		sweep: `DELETE FROM tokenwell WHERE rowid IN (
			SELECT rowid FROM tokenwell WHERE expires <= unixepoch('subsec') ORDER BY expires LIMIT ?1)`,
	},
}

// The name of an index is its table's and more, and PostgreSQL cuts names at 63 bytes.
var tableName = regexp.MustCompile(`^([a-z_][a-z0-9_]{0,39}\.)?[a-z_][a-z0-9_]{0,39}$`)

// statements returns those of d for a table.
func (d Dialect) statements(table string) (statements, error) {
	sql, ok := dialects[d]
	if !ok {
		return statements{}, errors.New("store: the dialect is neither PostgreSQL nor SQLite")
	}
	if table == "" {
		return sql, nil
	}
	if !tableName.MatchString(table) {
		return statements{}, fmt.Errorf("store: the table %q is not a name of lower-case letters, digits and underscores", table)
	}
	schema, name, qualified := strings.Cut(table, ".")
	switch {
	case !qualified:
		name = schema
	case d == SQLite:
		return statements{}, fmt.Errorf("store: the table %q has a schema, which SQLite does not know", table)
	}
	names := strings.NewReplacer("tokenwell_", name+"_", "tokenwell", table)
	for _, s := range []*string{&sql.exists, &sql.schema, &sql.load, &sql.create, &sql.replace, &sql.remove, &sql.sweep} {
		*s = names.Replace(*s)
	}
	return sql, nil
}
