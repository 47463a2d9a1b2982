-- Where store.SQL keeps its values in SQLite 3.42 or later.

CREATE TABLE IF NOT EXISTS tokenwell (
    key     BLOB PRIMARY KEY NOT NULL,
    value   BLOB NOT NULL,
    rev     TEXT NOT NULL,
    expires REAL NOT NULL -- seconds since 1970
) STRICT;

CREATE INDEX IF NOT EXISTS tokenwell_expires ON tokenwell (expires);
