-- Where store.SQL keeps its values in PostgreSQL 14 or later.

CREATE TABLE IF NOT EXISTS tokenwell (
    key     bytea       PRIMARY KEY,
    value   bytea       NOT NULL,
    rev     text        NOT NULL,
    expires timestamptz NOT NULL,
    -- Expired rows are found by the quarter of an hour. An index on expires would change
    -- with every renewal; this one seldom does, and the others are heap-only updates, for
    -- which fillfactor leaves room.
    quarter timestamptz NOT NULL GENERATED ALWAYS AS (date_bin('15 minutes', expires, 'epoch')) STORED
) WITH (fillfactor = 70);

CREATE INDEX IF NOT EXISTS tokenwell_quarter ON tokenwell (quarter);
