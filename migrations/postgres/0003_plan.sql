-- What was learned of how soon news follows, by the section of the carrier, the code of the last event, the class of the
-- time since, and the slot of the week (UTC; 24 hours of working days, of Saturdays, of Sundays): events, and hours of
-- watching, with a long and a short memory.
CREATE TABLE hazard_cells (
    section     TEXT             NOT NULL,
    code        TEXT             NOT NULL,
    age         SMALLINT         NOT NULL,
    slot        SMALLINT         NOT NULL,
    events      DOUBLE PRECISION NOT NULL,
    hours       DOUBLE PRECISION NOT NULL,
    fast_events DOUBLE PRECISION NOT NULL,
    fast_hours  DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (section, code, age, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

-- What came after events of a code.
CREATE TABLE hazard_leaves (
    section TEXT             NOT NULL,
    code    TEXT             NOT NULL,
    events  DOUBLE PRECISION NOT NULL,
    weights DOUBLE PRECISION NOT NULL,
    ended   DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (section, code)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

-- The price of a call, by account at a carrier, and who adjusts it.
CREATE TABLE prices (
    budget      TEXT             NOT NULL PRIMARY KEY,
    -- In weighted hours of unseen events.
    whole       DOUBLE PRECISION NOT NULL,
    -- Factors of the 24 hours and of the 3 kinds of days, as JSON.
    by_hour     TEXT             NOT NULL,
    by_day      TEXT             NOT NULL,
    -- How long looking at every parcel once took when the price was last set anew, in hours.
    round       DOUBLE PRECISION NOT NULL,
    -- How the day's calls are spread over its hours: 24 shares, as JSON; of this day (UTC, days since 1970).
    shares      TEXT             NOT NULL,
    shares_day  BIGINT           NOT NULL,
    parcels     BIGINT           NOT NULL,
    counted_at  TIMESTAMPTZ      NOT NULL,
    adjusted_at TIMESTAMPTZ      NOT NULL,
    refitted_at TIMESTAMPTZ      NOT NULL,
    owner       UUID             NOT NULL,
    lease_until TIMESTAMPTZ      NOT NULL
) WITH (fillfactor = 50);

-- The bucket that a day's calls drip into, and the calls of the last whole minute and of the one under way.
ALTER TABLE carrier_state ADD COLUMN tokens       DOUBLE PRECISION NOT NULL DEFAULT 0;
ALTER TABLE carrier_state ADD COLUMN tokens_at    TIMESTAMPTZ;
ALTER TABLE carrier_state ADD COLUMN minute       BIGINT           NOT NULL DEFAULT 0;
ALTER TABLE carrier_state ADD COLUMN minute_calls BIGINT           NOT NULL DEFAULT 0;
ALTER TABLE carrier_state ADD COLUMN before_calls BIGINT           NOT NULL DEFAULT 0;
