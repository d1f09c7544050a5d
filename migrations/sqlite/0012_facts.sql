-- What the carrier says of a parcel beside its events, as JSON; empty if nothing. It is of the check that gave the status, unless
-- these columns name another one: so a check that says the same again need not write it.
ALTER TABLE trackings ADD COLUMN facts            TEXT NOT NULL DEFAULT '';
ALTER TABLE trackings ADD COLUMN facts_checked_at INTEGER;
ALTER TABLE trackings ADD COLUMN facts_check_id   TEXT;
