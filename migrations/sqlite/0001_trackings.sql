-- Times are microseconds since 1970 UTC; ids of checks are UUIDs as text; booleans are 0 and 1.

CREATE TABLE trackings (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    carrier_code      TEXT    NOT NULL,
    track_number      TEXT    NOT NULL,
    status            TEXT    NOT NULL DEFAULT 'UNKNOWN',
    sub_status        TEXT,
    direction         TEXT    NOT NULL DEFAULT 'FORWARD',
    status_raw        TEXT    NOT NULL DEFAULT 'UNKNOWN',
    status_at         INTEGER,
    -- What the status rests on: 0 nothing heard, 1 not found yet, 2 seen by the carrier.
    heard             INTEGER NOT NULL DEFAULT 0,
    status_checked_at INTEGER,
    status_check_id   TEXT,
    last_event_code   TEXT,
    last_event_at     INTEGER,
    last_ok_at        INTEGER,
    last_checked_at   INTEGER,
    last_check_id     TEXT,
    next_check_at     INTEGER NOT NULL,
    check_fail_count  INTEGER NOT NULL DEFAULT 0,
    last_error        TEXT    NOT NULL DEFAULT '',
    -- 1: refreshed and not checked since.
    priority          INTEGER NOT NULL DEFAULT 0,
    refreshed_at      INTEGER,
    active            INTEGER NOT NULL DEFAULT 1,
    lease_until       INTEGER,
    lease_id          TEXT,
    journey           INTEGER NOT NULL DEFAULT 1,
    version           INTEGER NOT NULL DEFAULT 1,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    UNIQUE (carrier_code, track_number)
) STRICT;

-- For the claim and for the list of carriers that have something to claim.
CREATE INDEX trackings_claim ON trackings (carrier_code, priority DESC, next_check_at) WHERE active;

CREATE TABLE tracking_events (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    tracking_id     INTEGER NOT NULL REFERENCES trackings (id) ON DELETE CASCADE,
    status          TEXT    NOT NULL,
    sub_status      TEXT,
    status_raw      TEXT    NOT NULL,
    event_time      INTEGER NOT NULL,
    location        TEXT    NOT NULL,
    message         TEXT    NOT NULL,
    payload_json    TEXT    NOT NULL,
    journey         INTEGER NOT NULL,
    -- SHA-256 over status_raw, event_time, location, message and journey: what makes two reports one event.
    digest          BLOB    NOT NULL,
    mapping_version INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    UNIQUE (tracking_id, digest)
) STRICT;

-- For the list of a tracking's events.
CREATE INDEX tracking_events_list ON tracking_events (tracking_id, event_time DESC, id DESC);

-- For the report of codes that nobody mapped.
CREATE INDEX tracking_events_unmapped ON tracking_events (id) WHERE status = 'UNKNOWN';

CREATE TABLE consumer_members (
    group_name TEXT    NOT NULL,
    member     TEXT    NOT NULL,
    live_until INTEGER NOT NULL,
    PRIMARY KEY (group_name, member)
) STRICT;

CREATE TABLE consumer_partitions (
    group_name     TEXT    NOT NULL,
    topic          TEXT    NOT NULL,
    partition      INTEGER NOT NULL,
    next_offset    INTEGER NOT NULL,
    -- Grows with every change of owner: the token that shuts out an owner who does not know that it lost its lease.
    epoch          INTEGER NOT NULL DEFAULT 0,
    owner          TEXT,
    lease_until    INTEGER,
    high_watermark INTEGER,
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (group_name, topic, partition)
) STRICT;

CREATE TABLE dead_letters (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    topic         TEXT    NOT NULL,
    partition     INTEGER NOT NULL,
    record_offset INTEGER NOT NULL,
    record_key    BLOB,
    -- At most the first 64 KiB.
    value         BLOB    NOT NULL,
    size_bytes    INTEGER NOT NULL,
    error         TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    UNIQUE (topic, partition, record_offset)
) STRICT;

-- For ending them after 30 days.
CREATE INDEX dead_letters_at ON dead_letters (at);

-- What all workers share of an account at a carrier.
CREATE TABLE carrier_state (
    budget       TEXT    NOT NULL PRIMARY KEY,
    paused_until INTEGER,
    pause_reason TEXT    NOT NULL DEFAULT '',
    -- Calls that failed for all their numbers, in a row.
    fails        INTEGER NOT NULL DEFAULT 0,
    -- The calendar day (UTC, days since 1970) that day_used counts the calls of.
    day          INTEGER NOT NULL DEFAULT 0,
    day_used     INTEGER NOT NULL DEFAULT 0,
    updated_at   INTEGER NOT NULL
) STRICT;
