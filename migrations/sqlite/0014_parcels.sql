-- Whose parcels they are: a tenant's view of a tracking, which is checked once for all its owners.

-- News so far: what each of its changes is numbered by.
ALTER TABLE trackings ADD COLUMN change_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trackings ADD COLUMN changed_at INTEGER;
-- How many tenants have it; -1: created before there were owners, and the default tenant's.
ALTER TABLE trackings ADD COLUMN owners INTEGER NOT NULL DEFAULT -1;
-- Grows with every change of its owners or of what they wrote.
ALTER TABLE trackings ADD COLUMN owners_version INTEGER NOT NULL DEFAULT 0;
-- Whether some owner follows it.
ALTER TABLE trackings ADD COLUMN wanted INTEGER NOT NULL DEFAULT 1;

-- For adopting those from before, and for deleting those that nobody has any more.
CREATE INDEX trackings_orphans ON trackings (id) WHERE owners < 1;

CREATE TABLE parcels (
    tenant_id INTEGER NOT NULL,
    tracking_id INTEGER NOT NULL REFERENCES trackings (id) ON DELETE CASCADE,
    -- 0 followed, 1 stopped, 2 archived.
    state INTEGER NOT NULL DEFAULT 0,
    carrier_code TEXT NOT NULL,
    -- Its letters and digits alone, in capitals.
    number_key TEXT NOT NULL,
    order_id TEXT,
    -- Trimmed, in small letters.
    order_key TEXT,
    title TEXT,
    note TEXT,
    -- A JSON list of texts, sorted; and a JSON object of texts.
    labels TEXT NOT NULL DEFAULT '[]',
    metadata TEXT NOT NULL DEFAULT '{}',
    -- The tracking's, by the number of the word.
    status INTEGER NOT NULL,
    -- When something last changed that is listed by it: the tracking's news, or the beginning.
    changed_at INTEGER NOT NULL,
    -- Whether three checks in a row have failed since the last that did not.
    failing INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, tracking_id)
) STRICT, WITHOUT ROWID;

-- For who owns a tracking.
CREATE INDEX parcels_tracking ON parcels (tracking_id);

-- For the lists.
CREATE INDEX parcels_status ON parcels (tenant_id, status, changed_at DESC, tracking_id DESC) WHERE state < 2;
CREATE INDEX parcels_carrier ON parcels (tenant_id, carrier_code, status, changed_at DESC, tracking_id DESC) WHERE state < 2;
CREATE INDEX parcels_failing ON parcels (tenant_id, changed_at DESC, tracking_id DESC) WHERE failing AND state < 2;
CREATE INDEX parcels_archived ON parcels (tenant_id, changed_at DESC, tracking_id DESC) WHERE state = 2;
CREATE INDEX parcels_number ON parcels (tenant_id, number_key, tracking_id);
CREATE INDEX parcels_order ON parcels (tenant_id, order_key, tracking_id) WHERE order_key IS NOT NULL;

-- The labels of parcels, by label.
CREATE TABLE parcel_labels (
    tenant_id INTEGER NOT NULL,
    label TEXT NOT NULL,
    tracking_id INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, label, tracking_id),
    FOREIGN KEY (tenant_id, tracking_id) REFERENCES parcels (tenant_id, tracking_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- For deleting a parcel's labels with it.
CREATE INDEX parcel_labels_parcel ON parcel_labels (tenant_id, tracking_id);

-- How many parcels a tenant has of each carrier and status, archived or not.
CREATE TABLE parcel_counts (
    tenant_id INTEGER NOT NULL,
    carrier_code TEXT NOT NULL,
    status INTEGER NOT NULL,
    archived INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, carrier_code, status, archived)
) STRICT, WITHOUT ROWID;

-- The same at the end of each day (UTC, days since 1970), without those archived.
CREATE TABLE parcel_counts_daily (
    tenant_id INTEGER NOT NULL,
    day INTEGER NOT NULL,
    carrier_code TEXT NOT NULL,
    status INTEGER NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, day, carrier_code, status)
) STRICT, WITHOUT ROWID;

-- What each tenant is told, in the order of the commits.
CREATE TABLE feed_heads (
    tenant_id INTEGER NOT NULL PRIMARY KEY,
    last_seq INTEGER NOT NULL,
    -- A change's time is never before that of the one before it.
    last_at INTEGER NOT NULL,
    -- The oldest change that is kept; those before it were deleted.
    kept_from INTEGER NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;

CREATE TABLE changes (
    tenant_id INTEGER NOT NULL,
    -- Without gaps.
    seq INTEGER NOT NULL,
    -- 0 created, 1 updated, 2 edited, 3 removed.
    kind INTEGER NOT NULL,
    tracking_id INTEGER NOT NULL,
    -- Of an update: its number among the parcel's. Of others: the number of the last one.
    change_seq INTEGER NOT NULL,
    -- The check's id, or the request's.
    cause TEXT NOT NULL,
    at INTEGER NOT NULL,
    status INTEGER NOT NULL,
    sub_status TEXT,
    direction TEXT NOT NULL,
    status_raw TEXT NOT NULL,
    status_at INTEGER,
    was_status INTEGER,
    was_sub_status TEXT,
    -- JSON, if they changed.
    facts TEXT,
    was_facts TEXT,
    -- The first 16 hexadecimal digits of the digests of its new events, and of those that mean something else now: at most
    -- 20 of each, the newest, with commas between them.
    events TEXT NOT NULL DEFAULT '',
    events_total INTEGER NOT NULL DEFAULT 0,
    revised TEXT NOT NULL DEFAULT '',
    -- Whether the parcel was removed since, and with it what is said here.
    gone INTEGER NOT NULL DEFAULT 0,
    -- Which parcel was removed, as JSON.
    detail TEXT,
    PRIMARY KEY (tenant_id, seq)
) STRICT, WITHOUT ROWID;

-- For one parcel's changes.
CREATE INDEX changes_parcel ON changes (tenant_id, tracking_id, seq);

-- Programs from before this migration write no changes. So the consumers' table gets another name, which keeps such a program
-- from joining, and all partitions are free, which keeps one that has joined from going on.
DELETE FROM consumer_members;
ALTER TABLE consumer_members RENAME TO consumers;
UPDATE consumer_partitions SET owner = NULL, lease_until = NULL, epoch = epoch + 1;

-- The processes that live, with the version of their program and their roles.
CREATE TABLE processes (
    id TEXT NOT NULL PRIMARY KEY,
    version TEXT NOT NULL,
    roles TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    live_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
