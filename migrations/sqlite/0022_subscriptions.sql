-- What carriers were asked to push, by the section of the configuration. The row of tracking 0 is the section's subscription as a
-- whole, and what all calls of its numbers share; `address` is a hash of where and by whom it is asked for. It is asked for at
-- `ask_at`, never if that is NULL, and was last made at `made_at`, until `ends_at`. `fails` are the tries in a row that failed, for
-- the reason `error`. The worker that asks holds `lease_id`.
CREATE TABLE push_subscriptions (
    tracking_id  INTEGER NOT NULL,
    section      TEXT    NOT NULL,
    address      TEXT    NOT NULL DEFAULT '',
    ask_at       INTEGER,
    made_at      INTEGER,
    ends_at      INTEGER,
    fails        INTEGER NOT NULL DEFAULT 0,
    error        TEXT    NOT NULL DEFAULT '',
    lease_id     TEXT,
    PRIMARY KEY (tracking_id, section)
) STRICT;
-- For the next ones of each section to ask for.
CREATE INDEX push_subscriptions_ask ON push_subscriptions (section, ask_at);
