-- Requests that were sent with an Idempotency-Key: what came of each, for a day.
CREATE TABLE idempotency_keys (
    tenant_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    -- SHA-256 over method, path and body.
    fingerprint BLOB NOT NULL,
    -- JSON.
    outcome TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key)
) STRICT, WITHOUT ROWID;

-- For ending them.
CREATE INDEX idempotency_keys_at ON idempotency_keys (created_at);
