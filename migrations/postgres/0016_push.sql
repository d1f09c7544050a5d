-- When something that was pushed and cannot be believed last made the parcel due.
ALTER TABLE trackings
    ADD COLUMN hinted_at TIMESTAMPTZ CHECK (hinted_at < '11000-01-01Z' AND hinted_at > '-infinity');

-- Of each section of the configuration whose carrier pushes: when it was last heard, and how many events were told by pushes
-- first, and found by checks first.
CREATE TABLE push_news (
    section  TEXT NOT NULL PRIMARY KEY,
    heard_at TIMESTAMPTZ CHECK (heard_at < '11000-01-01Z' AND heard_at > '-infinity'),
    told     DOUBLE PRECISION NOT NULL,
    found    DOUBLE PRECISION NOT NULL
);
