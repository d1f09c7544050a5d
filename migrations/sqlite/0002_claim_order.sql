-- The claim's order to the last: parcels that were created together are due at the same moment.
CREATE INDEX trackings_claim_order ON trackings (carrier_code, priority DESC, next_check_at, id) WHERE active;
DROP INDEX trackings_claim;
