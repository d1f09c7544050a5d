-- When something that was pushed and cannot be believed last made the parcel due.
ALTER TABLE trackings ADD COLUMN hinted_at INTEGER;
