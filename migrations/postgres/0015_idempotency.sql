-- Requests that were sent with an Idempotency-Key: what came of each, for a day.
CREATE TABLE idempotency_keys (
    tenant_id   INTEGER     NOT NULL,
    key         TEXT        COLLATE "C" NOT NULL,
    -- SHA-256 over method, path and body.
    fingerprint BYTEA       NOT NULL,
    -- JSON.
    outcome     TEXT        NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL CHECK (created_at < '11000-01-01Z' AND created_at > '-infinity'),
    PRIMARY KEY (tenant_id, key)
);

-- For ending them.
CREATE INDEX idempotency_keys_at ON idempotency_keys (created_at);
