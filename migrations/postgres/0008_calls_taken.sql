-- The calls that were taken of an account with a limit by day or month, by the quarter of an hour (UTC, quarters since
-- 1970). Whole quarters make up the days of every time zone. Kept for 32 days.
CREATE TABLE calls_taken (
    budget  TEXT   NOT NULL,
    quarter BIGINT NOT NULL,
    calls   BIGINT NOT NULL CHECK (calls BETWEEN 0 AND 1000000000),
    PRIMARY KEY (budget, quarter)
);

-- The calls of the day so far, as if they had all been made when the last one was: that is today in every zone.
INSERT INTO calls_taken (budget, quarter, calls)
SELECT budget, floor(extract(epoch FROM updated_at) / 900)::bigint, day_used FROM carrier_state
WHERE day_used BETWEEN 1 AND 1000000000 AND day = (floor(extract(epoch FROM updated_at) / 900)::bigint) / 96;
