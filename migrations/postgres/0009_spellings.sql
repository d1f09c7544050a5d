-- What makes two spellings one parcel: the carrier's code and the number, folded. NULL: written by a program that does not
-- know the columns; a newer one fills them at its start, and folds the trackings of one parcel into one.
ALTER TABLE trackings ADD COLUMN carrier_key TEXT;
ALTER TABLE trackings ADD COLUMN number_key TEXT;
CREATE UNIQUE INDEX trackings_key ON trackings (carrier_key, number_key);

-- For finding those without a key.
CREATE INDEX trackings_unkeyed ON trackings (id) WHERE number_key IS NULL;

-- The ids of trackings that were folded into another one.
CREATE TABLE tracking_aliases (
    old_id      BIGINT NOT NULL PRIMARY KEY,
    tracking_id BIGINT NOT NULL REFERENCES trackings (id) ON DELETE CASCADE
);

-- For the deletion of a tracking, and for folding it into another one.
CREATE INDEX tracking_aliases_tracking ON tracking_aliases (tracking_id);
