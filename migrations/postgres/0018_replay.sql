-- Since when the answers that gave an event are read otherwise: it decides nothing. NULL for every other event.
ALTER TABLE tracking_events ADD COLUMN superseded_at TIMESTAMPTZ CHECK (superseded_at < '11000-01-01Z' AND superseded_at > '-infinity');

-- By section of the configuration, the hash of what identifies the events of its carrier: of its adapter's file the places of text,
-- message, place and time, and the zone. All stored events are read by it, or will be by the next replay.
CREATE TABLE section_readings (
    section  TEXT NOT NULL PRIMARY KEY,
    reading  TEXT NOT NULL,
    noted_at TIMESTAMPTZ NOT NULL CHECK (noted_at < '11000-01-01Z' AND noted_at > '-infinity')
);
