-- What was learned of how soon news follows, by the section of the carrier, the code of the last event, the class of the
-- time since, and the slot of the week (UTC; 24 hours of working days, of Saturdays, of Sundays): events, and hours of
-- watching, with a long and a short memory.
CREATE TABLE hazard_cells (
    section     TEXT    NOT NULL,
    code        TEXT    NOT NULL,
    age         INTEGER NOT NULL,
    slot        INTEGER NOT NULL,
    events      REAL    NOT NULL,
    hours       REAL    NOT NULL,
    fast_events REAL    NOT NULL,
    fast_hours  REAL    NOT NULL,
    PRIMARY KEY (section, code, age, slot)
) STRICT, WITHOUT ROWID;

-- What came after events of a code.
CREATE TABLE hazard_leaves (
    section TEXT    NOT NULL,
    code    TEXT    NOT NULL,
    events  REAL    NOT NULL,
    weights REAL    NOT NULL,
    ended   REAL    NOT NULL,
    PRIMARY KEY (section, code)
) STRICT, WITHOUT ROWID;

-- The price of a call, by account at a carrier, and who adjusts it.
CREATE TABLE prices (
    budget      TEXT    NOT NULL PRIMARY KEY,
    -- In weighted hours of unseen events.
    whole       REAL    NOT NULL,
    -- Factors of the 24 hours and of the 3 kinds of days, as JSON.
    by_hour     TEXT    NOT NULL,
    by_day      TEXT    NOT NULL,
    -- How long looking at every parcel once took when the price was last set anew, in hours.
    round       REAL    NOT NULL,
    -- How the day's calls are spread over its hours: 24 shares, as JSON; of this day (UTC, days since 1970).
    shares      TEXT    NOT NULL,
    shares_day  INTEGER NOT NULL,
    parcels     INTEGER NOT NULL,
    counted_at  INTEGER NOT NULL,
    adjusted_at INTEGER NOT NULL,
    refitted_at INTEGER NOT NULL,
    owner       TEXT    NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The bucket that a day's calls drip into, and the calls of the last whole minute and of the one under way.
ALTER TABLE carrier_state ADD COLUMN tokens       REAL    NOT NULL DEFAULT 0;
ALTER TABLE carrier_state ADD COLUMN tokens_at    INTEGER;
ALTER TABLE carrier_state ADD COLUMN minute       INTEGER NOT NULL DEFAULT 0;
ALTER TABLE carrier_state ADD COLUMN minute_calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE carrier_state ADD COLUMN before_calls INTEGER NOT NULL DEFAULT 0;
