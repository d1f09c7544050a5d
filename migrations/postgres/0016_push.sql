-- When something that was pushed and cannot be believed last made the parcel due.
ALTER TABLE trackings
    ADD COLUMN hinted_at TIMESTAMPTZ CHECK (hinted_at < '11000-01-01Z' AND hinted_at > '-infinity');
