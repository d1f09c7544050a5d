-- What is kept of each event so that the history alone decides a parcel's status: what its own words mean, where it stands
-- if not at its time, the check that reported it first and its place in that check's list, whether a whole answer held it,
-- which events of its code and time an answer held beside it, whether the carrier took it back, and what follows from that.
ALTER TABLE tracking_events
    ADD COLUMN own_status       TEXT,
    ADD COLUMN own_sub_status   TEXT,
    ADD COLUMN order_at         TIMESTAMPTZ CHECK (order_at < '11000-01-01Z' AND order_at > '-infinity'),
    ADD COLUMN first_checked_at TIMESTAMPTZ CHECK (first_checked_at < '11000-01-01Z' AND first_checked_at > '-infinity'),
    ADD COLUMN first_check_id   UUID,
    ADD COLUMN place            INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN whole            BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN beside           TEXT    NOT NULL DEFAULT '',
    ADD COLUMN taken_back       BOOLEAN NOT NULL DEFAULT FALSE,
    -- No event, but the status that the carrier gave the whole parcel.
    ADD COLUMN stated           BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN superseded       BOOLEAN NOT NULL DEFAULT FALSE;

-- How many events of the answer that gave the status could not be read, and one of them.
ALTER TABLE trackings
    ADD COLUMN unreadable_events  INTEGER NOT NULL DEFAULT 0,
    ADD COLUMN unreadable_example TEXT    NOT NULL DEFAULT '',
    -- The last status that was known, which an unknown text hides, and when the oldest event happened.
    ADD COLUMN stage              TEXT    NOT NULL DEFAULT '',
    ADD COLUMN first_event_at     TIMESTAMPTZ CHECK (first_event_at < '11000-01-01Z' AND first_event_at > '-infinity'),
    -- Checked again although its status is terminal.
    ADD COLUMN looks_again        BOOLEAN NOT NULL DEFAULT FALSE;
