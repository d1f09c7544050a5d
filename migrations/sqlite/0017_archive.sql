-- Carriers' answers as they came, one for each number, to be read again when a carrier's file changes. Those of a parcel that were
-- read as the same are one row, with the check that got the first of them and the one that got the last. No foreign key: the
-- archive may be in another database than the parcels.
CREATE TABLE archived_answers (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    tracking_id   INTEGER NOT NULL,
    -- As the carrier was asked.
    carrier_code  TEXT    NOT NULL,
    track_number  TEXT    NOT NULL,
    adapter       TEXT    NOT NULL,
    -- The HTTP status.
    status        INTEGER NOT NULL,
    -- A hash of what was read.
    reading       BLOB    NOT NULL,
    asked_at      INTEGER NOT NULL,
    check_id      TEXT    NOT NULL,
    last_asked_at INTEGER NOT NULL,
    last_check_id TEXT    NOT NULL,
    -- What the row takes, about.
    size_bytes    INTEGER NOT NULL,
    -- Compressed by zstd.
    body          BLOB    NOT NULL,
    UNIQUE (tracking_id, reading)
);

-- The oldest go first, and their sizes are added up without the bodies.
CREATE INDEX archived_answers_age ON archived_answers (asked_at, size_bytes);
