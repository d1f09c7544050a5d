-- Whose parcels they are: a tenant's view of a tracking, which is checked once for all its owners.

ALTER TABLE trackings
    -- News so far: what each of its changes is numbered by.
    ADD COLUMN change_seq     BIGINT      NOT NULL DEFAULT 0,
    ADD COLUMN changed_at     TIMESTAMPTZ CHECK (changed_at < '11000-01-01Z' AND changed_at > '-infinity'),
    -- How many tenants have it; -1: created before there were owners, and the default tenant's.
    ADD COLUMN owners         INTEGER     NOT NULL DEFAULT -1,
    -- Grows with every change of its owners or of what they wrote.
    ADD COLUMN owners_version BIGINT      NOT NULL DEFAULT 0,
    -- Whether some owner follows it.
    ADD COLUMN wanted         BOOLEAN     NOT NULL DEFAULT TRUE;

-- For adopting those from before, and for deleting those that nobody has any more.
CREATE INDEX trackings_orphans ON trackings (id) WHERE owners < 1;

CREATE TABLE parcels (
    tenant_id    INTEGER     NOT NULL,
    tracking_id  BIGINT      NOT NULL REFERENCES trackings (id) ON DELETE CASCADE,
    -- 0 followed, 1 stopped, 2 archived.
    state        SMALLINT    NOT NULL DEFAULT 0,
    carrier_code TEXT        COLLATE "C" NOT NULL,
    -- Its letters and digits alone, in capitals.
    number_key   TEXT        COLLATE "C" NOT NULL,
    order_id     TEXT,
    -- Trimmed, in small letters.
    order_key    TEXT        COLLATE "C",
    title        TEXT,
    note         TEXT,
    -- A JSON list of texts, sorted; and a JSON object of texts.
    labels       TEXT        NOT NULL DEFAULT '[]',
    metadata     TEXT        NOT NULL DEFAULT '{}',
    -- The tracking's, by the number of the word.
    status       SMALLINT    NOT NULL,
    -- When something last changed that is listed by it: the tracking's news, or the beginning.
    changed_at   TIMESTAMPTZ NOT NULL CHECK (changed_at < '11000-01-01Z' AND changed_at > '-infinity'),
    -- Whether three checks in a row have failed since the last that did not.
    failing      BOOLEAN     NOT NULL DEFAULT FALSE,
    created_at   TIMESTAMPTZ NOT NULL CHECK (created_at < '11000-01-01Z' AND created_at > '-infinity'),
    PRIMARY KEY (tenant_id, tracking_id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- For who owns a tracking.
CREATE INDEX parcels_tracking ON parcels (tracking_id);

-- For the lists.
CREATE INDEX parcels_status   ON parcels (tenant_id, status, changed_at DESC, tracking_id DESC) WHERE state < 2;
CREATE INDEX parcels_carrier  ON parcels (tenant_id, carrier_code, status, changed_at DESC, tracking_id DESC) WHERE state < 2;
CREATE INDEX parcels_failing  ON parcels (tenant_id, changed_at DESC, tracking_id DESC) WHERE failing AND state < 2;
CREATE INDEX parcels_archived ON parcels (tenant_id, changed_at DESC, tracking_id DESC) WHERE state = 2;
CREATE INDEX parcels_number   ON parcels (tenant_id, number_key, tracking_id);
CREATE INDEX parcels_order    ON parcels (tenant_id, order_key, tracking_id) WHERE order_key IS NOT NULL;

-- The labels of parcels, by label.
CREATE TABLE parcel_labels (
    tenant_id   INTEGER NOT NULL,
    label       TEXT    COLLATE "C" NOT NULL,
    tracking_id BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, label, tracking_id),
    FOREIGN KEY (tenant_id, tracking_id) REFERENCES parcels (tenant_id, tracking_id) ON DELETE CASCADE
);

-- For deleting a parcel's labels with it.
CREATE INDEX parcel_labels_parcel ON parcel_labels (tenant_id, tracking_id);

-- How many parcels a tenant has of each carrier and status, archived or not.
CREATE TABLE parcel_counts (
    tenant_id    INTEGER  NOT NULL,
    carrier_code TEXT     COLLATE "C" NOT NULL,
    status       SMALLINT NOT NULL,
    archived     BOOLEAN  NOT NULL,
    n            BIGINT   NOT NULL,
    PRIMARY KEY (tenant_id, carrier_code, status, archived)
) WITH (fillfactor = 50);

-- The same at the end of each day (UTC, days since 1970), without those archived.
CREATE TABLE parcel_counts_daily (
    tenant_id    INTEGER  NOT NULL,
    day          BIGINT   NOT NULL,
    carrier_code TEXT     COLLATE "C" NOT NULL,
    status       SMALLINT NOT NULL,
    n            BIGINT   NOT NULL,
    PRIMARY KEY (tenant_id, day, carrier_code, status)
);

-- What each tenant is told, in the order of the commits.
CREATE TABLE feed_heads (
    tenant_id INTEGER     NOT NULL PRIMARY KEY,
    last_seq  BIGINT      NOT NULL,
    -- A change's time is never before that of the one before it.
    last_at   TIMESTAMPTZ NOT NULL CHECK (last_at < '11000-01-01Z' AND last_at > '-infinity'),
    -- The oldest change that is kept; those before it were deleted.
    kept_from BIGINT      NOT NULL DEFAULT 1
) WITH (fillfactor = 50);

CREATE TABLE changes (
    tenant_id      INTEGER     NOT NULL,
    -- Without gaps.
    seq            BIGINT      NOT NULL,
    -- 0 created, 1 updated, 2 edited, 3 removed.
    kind           SMALLINT    NOT NULL,
    tracking_id    BIGINT      NOT NULL,
    -- Of an update: its number among the parcel's. Of others: the number of the last one.
    change_seq     BIGINT      NOT NULL,
    -- The check's id, or the request's.
    cause          UUID        NOT NULL,
    at             TIMESTAMPTZ NOT NULL CHECK (at < '11000-01-01Z' AND at > '-infinity'),
    status         SMALLINT    NOT NULL,
    sub_status     TEXT,
    direction      TEXT        NOT NULL,
    status_raw     TEXT        NOT NULL,
    status_at      TIMESTAMPTZ CHECK (status_at < '11000-01-01Z' AND status_at > '-infinity'),
    was_status     SMALLINT,
    was_sub_status TEXT,
    -- JSON, if they changed.
    facts          TEXT,
    was_facts      TEXT,
    -- The first 16 hexadecimal digits of the digests of its new events, and of those that mean something else now: at most
    -- 20 of each, the newest, with commas between them.
    events         TEXT        NOT NULL DEFAULT '',
    events_total   INTEGER     NOT NULL DEFAULT 0,
    revised        TEXT        NOT NULL DEFAULT '',
    -- Whether the parcel was removed since, and with it what is said here.
    gone           BOOLEAN     NOT NULL DEFAULT FALSE,
    -- Which parcel was removed, as JSON.
    detail         TEXT,
    PRIMARY KEY (tenant_id, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

-- For one parcel's changes.
CREATE INDEX changes_parcel ON changes (tenant_id, tracking_id, seq);

-- Programs from before this migration write no changes. So the consumers' table gets another name, which keeps such a program
-- from joining, and all partitions are free, which keeps one that has joined from going on.
DELETE FROM consumer_members;
ALTER TABLE consumer_members RENAME TO consumers;
UPDATE consumer_partitions SET owner = NULL, lease_until = NULL, epoch = epoch + 1;

-- The processes that live, with the version of their program and their roles.
CREATE TABLE processes (
    id         UUID        NOT NULL PRIMARY KEY,
    version    TEXT        NOT NULL,
    roles      TEXT        NOT NULL,
    started_at TIMESTAMPTZ NOT NULL CHECK (started_at < '11000-01-01Z' AND started_at > '-infinity'),
    live_until TIMESTAMPTZ NOT NULL CHECK (live_until < '11000-01-01Z' AND live_until > '-infinity')
);
