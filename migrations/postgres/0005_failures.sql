-- What failures say of an account: how often it refused us in a row, what parcels in a row failed alike with and how many
-- they were, and until when the next call has to wait while one call at a time is made.
ALTER TABLE carrier_state ADD COLUMN refusals   INTEGER     NOT NULL DEFAULT 0;
ALTER TABLE carrier_state ADD COLUMN suspicion  TEXT        NOT NULL DEFAULT '';
ALTER TABLE carrier_state ADD COLUMN suspects   INTEGER     NOT NULL DEFAULT 0;
ALTER TABLE carrier_state ADD COLUMN gate_until TIMESTAMPTZ CHECK (gate_until < '11000-01-01Z' AND gate_until > '-infinity');

-- Parcels of calls that failed as a whole: the most numbers of the next call with them.
CREATE TABLE call_splits (
    tracking_id BIGINT  NOT NULL PRIMARY KEY,
    numbers     INTEGER NOT NULL
);
