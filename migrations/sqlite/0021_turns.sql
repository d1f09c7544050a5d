-- How the calls of an account were dealt to those who pay for its parcels: the numbers each was given, divided by its weight, in
-- millionths, counted while several wanted calls. `last` is what the last deal added. One who wanted nothing for a while is
-- raised to just behind the others.
CREATE TABLE payer_turns (
    budget TEXT NOT NULL,
    payer  INTEGER NOT NULL,
    taken  INTEGER NOT NULL CHECK (taken BETWEEN 0 AND 4000000000000000000),
    last   INTEGER NOT NULL,
    PRIMARY KEY (budget, payer)
) STRICT, WITHOUT ROWID;

-- So far the default tenant, payer 0, paid for all. Now a tracking that it does not follow is paid for by the tenant that has
-- followed it longest.
UPDATE trackings SET payer = first.payer FROM (
    SELECT p.tracking_id, (p.tenant_id - 1) & 32767 AS payer,
        row_number() OVER (PARTITION BY p.tracking_id ORDER BY p.created_at, p.tenant_id) AS nth
    FROM parcels AS p
    WHERE p.state = 0 AND p.tenant_id <> 1
        AND NOT EXISTS (SELECT 1 FROM parcels AS d WHERE d.tenant_id = 1 AND d.tracking_id = p.tracking_id AND d.state = 0)
) AS first
WHERE first.nth = 1 AND trackings.id = first.tracking_id;
