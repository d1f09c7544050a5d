-- What became of an account's log-ins with one set of credentials, named by a hash: how many in a row were refused, the last
-- refusal's words, before when the next one must not begin, until when the limit by the hour is used up, and how many there
-- were. One that is under way counts as refused.
CREATE TABLE account_logins (
    budget       TEXT        NOT NULL,
    credentials  TEXT        NOT NULL,
    refusals     INTEGER     NOT NULL DEFAULT 0,
    reason       TEXT        NOT NULL DEFAULT '',
    not_before   TIMESTAMPTZ CHECK (not_before < '11000-01-01Z' AND not_before > '-infinity'),
    spent_until  TIMESTAMPTZ CHECK (spent_until < '11000-01-01Z' AND spent_until > '-infinity'),
    turn         BIGINT      NOT NULL DEFAULT 0,
    updated_at   TIMESTAMPTZ NOT NULL CHECK (updated_at < '11000-01-01Z' AND updated_at > '-infinity'),
    PRIMARY KEY (budget, credentials)
);
