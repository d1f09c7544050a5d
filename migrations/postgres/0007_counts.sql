-- What all workers did for an account in a minute (since 1970 UTC): the calls made, the numbers asked about in them, the
-- parcels claimed that had an answer before, by how many hours they were overdue together (early ones count negative), the
-- parcels claimed that never had one, and the numbers that calls had room for and no parcel filled.
CREATE TABLE call_minutes (
    minute  BIGINT NOT NULL,
    budget  TEXT    NOT NULL,
    calls   BIGINT NOT NULL,
    numbers BIGINT NOT NULL,
    claimed BIGINT NOT NULL,
    late    DOUBLE PRECISION NOT NULL,
    first   BIGINT NOT NULL,
    idle    BIGINT NOT NULL,
    PRIMARY KEY (minute, budget)
);

-- What failed in an hour (since 1970 UTC), by kind: how often, and what the carrier said the last time.
CREATE TABLE call_errors (
    hour    BIGINT NOT NULL,
    budget  TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    count   BIGINT NOT NULL,
    words   TEXT    NOT NULL,
    last_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (hour, budget, kind)
);

-- Of the account's parcels: how many fail, and since when the one that waits longest has had no answer. And until when the
-- price stands still, because parcels wait for another reason than the price.
ALTER TABLE prices ADD COLUMN failing          BIGINT NOT NULL DEFAULT 0;
ALTER TABLE prices ADD COLUMN unanswered_since TIMESTAMPTZ;
ALTER TABLE prices ADD COLUMN held_until       TIMESTAMPTZ;

-- The policy and the limits by which the next checks of the account's parcels were set.
ALTER TABLE prices ADD COLUMN made_by TEXT NOT NULL DEFAULT '';
