-- What carriers were asked to push, by the section of the configuration. The row of tracking 0 is the section's subscription as a
-- whole, and what all calls of its numbers share; `address` is a hash of where and by whom it is asked for. It is asked for at
-- `ask_at`, never if that is NULL, and was last made at `made_at`, until `ends_at`. `fails` are the tries in a row that failed, for
-- the reason `error`. The worker that asks holds `lease_id`.
CREATE TABLE push_subscriptions (
    tracking_id  BIGINT      NOT NULL,
    section      TEXT        NOT NULL,
    address      TEXT        NOT NULL DEFAULT '',
    ask_at       TIMESTAMPTZ,
    made_at      TIMESTAMPTZ,
    ends_at      TIMESTAMPTZ,
    fails        INTEGER     NOT NULL DEFAULT 0,
    error        TEXT        NOT NULL DEFAULT '',
    lease_id     UUID,
    PRIMARY KEY (tracking_id, section),
    CONSTRAINT push_subscriptions_times CHECK (
        GREATEST(ask_at, made_at, ends_at) < '11000-01-01Z' AND LEAST(ask_at, made_at, ends_at) > '-infinity'
    )
);
-- For the next ones of each section to ask for.
CREATE INDEX push_subscriptions_ask ON push_subscriptions (section, ask_at);
