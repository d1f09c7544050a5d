-- What a shop tells of a parcel beside its number, such as a postal code: a JSON object of texts, NULL if it told nothing.
ALTER TABLE parcels ADD COLUMN extra TEXT;

-- The different ones of the shops that follow it, the first one's in front: a JSON list, empty if no shop told anything.
ALTER TABLE trackings ADD COLUMN extras TEXT NOT NULL DEFAULT '';
-- The place in the list of the one that is asked with next.
ALTER TABLE trackings ADD COLUMN extra_turn INTEGER NOT NULL DEFAULT 0;
