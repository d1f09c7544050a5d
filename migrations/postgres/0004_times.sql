-- PostgreSQL knows 'infinity' and years that the program cannot read. NOT VALID: what is there is not looked through, which
-- would take long on large tables; all that is written from now on is.
ALTER TABLE trackings ADD CONSTRAINT trackings_times CHECK (
    GREATEST(status_at, status_checked_at, last_event_at, last_ok_at, last_checked_at, next_check_at, refreshed_at,
             lease_until, created_at, updated_at) < '11000-01-01Z'
    AND LEAST(status_at, status_checked_at, last_event_at, last_ok_at, last_checked_at, next_check_at, refreshed_at,
              lease_until, created_at, updated_at) > '-infinity'
) NOT VALID;
ALTER TABLE tracking_events ADD CONSTRAINT tracking_events_times CHECK (
    GREATEST(event_time, created_at) < '11000-01-01Z' AND LEAST(event_time, created_at) > '-infinity'
) NOT VALID;
ALTER TABLE consumer_members ADD CONSTRAINT consumer_members_times CHECK (
    live_until < '11000-01-01Z' AND live_until > '-infinity'
) NOT VALID;
ALTER TABLE consumer_partitions ADD CONSTRAINT consumer_partitions_times CHECK (
    GREATEST(lease_until, updated_at) < '11000-01-01Z' AND LEAST(lease_until, updated_at) > '-infinity'
) NOT VALID;
ALTER TABLE dead_letters ADD CONSTRAINT dead_letters_times CHECK (at < '11000-01-01Z' AND at > '-infinity') NOT VALID;
ALTER TABLE carrier_state ADD CONSTRAINT carrier_state_times CHECK (
    GREATEST(paused_until, tokens_at, updated_at) < '11000-01-01Z'
    AND LEAST(paused_until, tokens_at, updated_at) > '-infinity'
) NOT VALID;
ALTER TABLE prices ADD CONSTRAINT prices_times CHECK (
    GREATEST(counted_at, adjusted_at, refitted_at, lease_until) < '11000-01-01Z'
    AND LEAST(counted_at, adjusted_at, refitted_at, lease_until) > '-infinity'
) NOT VALID;
