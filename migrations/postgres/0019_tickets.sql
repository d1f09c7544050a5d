-- Tickets: a carrier took numbers and answers later. `ticket` is the carrier's own name for it. It is asked for its answer at
-- `ask_at`, and every `wait_ms` after that, by the worker that holds the lease. From `ends_at` on it is given up. `fails` are the
-- asks in a row that failed.
CREATE TABLE carrier_tickets (
    id           UUID        NOT NULL PRIMARY KEY,
    budget       TEXT        NOT NULL,
    adapter      TEXT        NOT NULL,
    ticket       TEXT        NOT NULL,
    asked_at     TIMESTAMPTZ NOT NULL,
    ask_at       TIMESTAMPTZ NOT NULL,
    wait_ms      BIGINT      NOT NULL,
    ends_at      TIMESTAMPTZ NOT NULL,
    tries        INTEGER     NOT NULL DEFAULT 0,
    fails        INTEGER     NOT NULL DEFAULT 0,
    lease_until  TIMESTAMPTZ,
    lease_id     UUID,
    CONSTRAINT carrier_tickets_times CHECK (
        GREATEST(asked_at, ask_at, ends_at, lease_until) < '11000-01-01Z'
        AND LEAST(asked_at, ask_at, ends_at, lease_until) > '-infinity'
    )
);
-- For the next ones of each account to ask for.
CREATE INDEX carrier_tickets_ask ON carrier_tickets (budget, ask_at);

-- The parcels of a ticket, each with its check: it waits for the answer as long as that holds its lease.
CREATE TABLE carrier_ticket_parcels (
    ticket_id    UUID    NOT NULL,
    tracking_id  BIGINT  NOT NULL,
    check_id     UUID    NOT NULL,
    PRIMARY KEY (ticket_id, tracking_id)
);
