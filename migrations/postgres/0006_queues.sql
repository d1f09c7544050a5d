-- The claim's order: of each carrier the refreshed parcels, then those that never had an answer, then the others; each by
-- time. The payer is whose calls a parcel takes, the same for all until shops are told apart.
ALTER TABLE trackings ADD COLUMN payer SMALLINT NOT NULL DEFAULT 0;
CREATE INDEX trackings_queues ON trackings (
    carrier_code, payer, (CASE WHEN priority = 1 THEN 0 WHEN last_ok_at IS NULL THEN 1 ELSE 2 END), next_check_at, id
) WHERE active;
DROP INDEX trackings_claim_order;
