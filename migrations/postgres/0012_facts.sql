-- What the carrier says of a parcel beside its events, as JSON; empty if nothing. It is of the check that gave the status, unless
-- these columns name another one: so a check that says the same again need not write it.
ALTER TABLE trackings
    ADD COLUMN facts            TEXT NOT NULL DEFAULT '',
    ADD COLUMN facts_checked_at TIMESTAMPTZ CHECK (facts_checked_at < '11000-01-01Z' AND facts_checked_at > '-infinity'),
    ADD COLUMN facts_check_id   UUID;
