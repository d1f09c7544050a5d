-- Tickets: a carrier took numbers and answers later. `ticket` is the carrier's own name for it. It is asked for its answer at
-- `ask_at`, and every `wait_ms` after that, by the worker that holds the lease. From `ends_at` on it is given up. `fails` are the
-- asks in a row that failed.
CREATE TABLE carrier_tickets (
    id           TEXT    NOT NULL PRIMARY KEY,
    budget       TEXT    NOT NULL,
    adapter      TEXT    NOT NULL,
    ticket       TEXT    NOT NULL,
    asked_at     INTEGER NOT NULL,
    ask_at       INTEGER NOT NULL,
    wait_ms      BIGINT  NOT NULL,
    ends_at      INTEGER NOT NULL,
    tries        INTEGER NOT NULL DEFAULT 0,
    fails        INTEGER NOT NULL DEFAULT 0,
    lease_until  INTEGER,
    lease_id     TEXT
);
-- For the next ones of each account to ask for.
CREATE INDEX carrier_tickets_ask ON carrier_tickets (budget, ask_at);

-- The parcels of a ticket, each with its check: it waits for the answer as long as that holds its lease.
CREATE TABLE carrier_ticket_parcels (
    ticket_id    TEXT    NOT NULL,
    tracking_id  INTEGER NOT NULL,
    check_id     TEXT    NOT NULL,
    PRIMARY KEY (ticket_id, tracking_id)
);
