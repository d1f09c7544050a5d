-- When something that was pushed and cannot be believed last made the parcel due.
ALTER TABLE trackings ADD COLUMN hinted_at INTEGER;

-- Of each section of the configuration whose carrier pushes: when it was last heard, and how many events were told by pushes
-- first, and found by checks first.
CREATE TABLE push_news (
    section  TEXT NOT NULL PRIMARY KEY,
    heard_at INTEGER,
    told     REAL NOT NULL,
    found    REAL NOT NULL
) STRICT;
