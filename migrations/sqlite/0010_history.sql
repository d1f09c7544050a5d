-- What is kept of each event so that the history alone decides a parcel's status: what its own words mean, where it stands
-- if not at its time, the check that reported it first and its place in that check's list, whether a whole answer held it,
-- which events of its code and time an answer held beside it, whether the carrier took it back, and what follows from that.
ALTER TABLE tracking_events ADD COLUMN own_status       TEXT;
ALTER TABLE tracking_events ADD COLUMN own_sub_status   TEXT;
ALTER TABLE tracking_events ADD COLUMN order_at         INTEGER;
ALTER TABLE tracking_events ADD COLUMN first_checked_at INTEGER;
ALTER TABLE tracking_events ADD COLUMN first_check_id   TEXT;
ALTER TABLE tracking_events ADD COLUMN place            INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tracking_events ADD COLUMN whole            INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tracking_events ADD COLUMN beside           TEXT    NOT NULL DEFAULT '';
ALTER TABLE tracking_events ADD COLUMN taken_back       INTEGER NOT NULL DEFAULT 0;
-- No event, but the status that the carrier gave the whole parcel.
ALTER TABLE tracking_events ADD COLUMN stated           INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tracking_events ADD COLUMN superseded       INTEGER NOT NULL DEFAULT 0;

-- How many events of the answer that gave the status could not be read, and one of them.
ALTER TABLE trackings ADD COLUMN unreadable_events  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trackings ADD COLUMN unreadable_example TEXT    NOT NULL DEFAULT '';
-- The last status that was known, which an unknown text hides, and when the oldest event happened.
ALTER TABLE trackings ADD COLUMN stage              TEXT    NOT NULL DEFAULT '';
ALTER TABLE trackings ADD COLUMN first_event_at     INTEGER;
-- Checked again although its status is terminal.
ALTER TABLE trackings ADD COLUMN looks_again        INTEGER NOT NULL DEFAULT 0;
