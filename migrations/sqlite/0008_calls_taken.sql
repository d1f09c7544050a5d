-- The calls that were taken of an account with a limit by day or month, by the quarter of an hour (UTC, quarters since
-- 1970). Whole quarters make up the days of every time zone. Kept for 32 days.
CREATE TABLE calls_taken (
    budget  TEXT   NOT NULL,
    quarter INTEGER NOT NULL,
    calls   INTEGER NOT NULL CHECK (calls BETWEEN 0 AND 1000000000),
    PRIMARY KEY (budget, quarter)
) STRICT;

-- The calls of the day so far, as if they had all been made when the last one was: that is today in every zone.
INSERT INTO calls_taken (budget, quarter, calls)
SELECT budget, updated_at / 900000000, day_used FROM carrier_state
WHERE day_used BETWEEN 1 AND 1000000000 AND day = (updated_at / 900000000) / 96;
