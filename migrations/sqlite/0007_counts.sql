-- What all workers did for an account in a minute (since 1970 UTC): the calls made, the numbers asked about in them, the
-- parcels claimed that had an answer before, by how many hours they were overdue together (early ones count negative), the
-- parcels claimed that never had one, and the numbers that calls had room for and no parcel filled.
CREATE TABLE call_minutes (
    minute  INTEGER NOT NULL,
    budget  TEXT    NOT NULL,
    calls   INTEGER NOT NULL,
    numbers INTEGER NOT NULL,
    claimed INTEGER NOT NULL,
    late    REAL    NOT NULL,
    first   INTEGER NOT NULL,
    idle    INTEGER NOT NULL,
    PRIMARY KEY (minute, budget)
) STRICT, WITHOUT ROWID;

-- What failed in an hour (since 1970 UTC), by kind: how often, and what the carrier said the last time.
CREATE TABLE call_errors (
    hour    INTEGER NOT NULL,
    budget  TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    count   INTEGER NOT NULL,
    words   TEXT    NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (hour, budget, kind)
) STRICT, WITHOUT ROWID;

-- Of the account's parcels: how many fail, and since when the one that waits longest has had no answer. And until when the
-- price stands still, because parcels wait for another reason than the price.
ALTER TABLE prices ADD COLUMN failing          INTEGER NOT NULL DEFAULT 0;
ALTER TABLE prices ADD COLUMN unanswered_since INTEGER;
ALTER TABLE prices ADD COLUMN held_until       INTEGER;

-- The policy and the limits by which the next checks of the account's parcels were set.
ALTER TABLE prices ADD COLUMN made_by TEXT NOT NULL DEFAULT '';
