-- Who has parcels here. The default tenant has all that was there before; it alone has operators.
CREATE TABLE tenants (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    code        TEXT    NOT NULL UNIQUE,
    name        TEXT    NOT NULL,
    -- Its share of the carriers' limits beside the others'.
    weight      INTEGER NOT NULL DEFAULT 1 CHECK (weight > 0),
    parcels_max INTEGER,
    disabled_at INTEGER,
    created_at  INTEGER NOT NULL
) STRICT;
INSERT INTO tenants (id, code, name, created_at) VALUES (1, 'default', 'Default', unixepoch() * 1000000);

CREATE TABLE api_keys (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id    INTEGER NOT NULL REFERENCES tenants (id),
    name         TEXT    NOT NULL,
    -- Its first 8 characters, to recognize it by.
    hint         TEXT    NOT NULL,
    -- SHA-256 of the whole key; the key itself is nowhere.
    hash         BLOB    NOT NULL UNIQUE,
    -- READ, WRITE or ADMIN.
    scope        TEXT    NOT NULL,
    operator     INTEGER NOT NULL DEFAULT 0,
    -- The most requests a second; 0: no limit of its own.
    per_second   INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT;

-- For the list of a tenant's keys.
CREATE INDEX api_keys_tenant ON api_keys (tenant_id, id);

-- Has a row from the first key on, for good: an emptied api_keys opens no port again.
CREATE TABLE first_key (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
) STRICT;

-- What people did, without any of the values.
CREATE TABLE acts (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,
    tenant_id   INTEGER NOT NULL,
    key_id      INTEGER,
    act         TEXT    NOT NULL,
    object      TEXT    NOT NULL,
    tracking_id INTEGER
) STRICT;

-- For the list of a tenant's acts, for those on one parcel, and for ending them after 90 days.
CREATE INDEX acts_tenant ON acts (tenant_id, id);
CREATE INDEX acts_tracking ON acts (tracking_id, id) WHERE tracking_id IS NOT NULL;
CREATE INDEX acts_at ON acts (at);
