-- name: all_pools
-- Every event with its stock.
SELECT event_id, total, available FROM {schema}.ticket_pools ORDER BY event_id

-- name: one_pool
-- One event with its stock.
SELECT event_id, total, available FROM {schema}.ticket_pools WHERE event_id = %(event)s

-- name: holders_of_row
-- The holder of a ticket row; more than one is a duplicate.
SELECT user_id FROM {schema}.issued_tickets
WHERE event_id = %(event)s AND ticket_number = %(number)s ORDER BY user_id

-- name: holder_of_range
-- The holder of the range that contains a ticket: the last range that starts at or before it.
SELECT user_id FROM (
    SELECT user_id, end_ticket FROM {schema}.ticket_allocations
    WHERE event_id = %(event)s AND start_ticket <= %(number)s
    ORDER BY start_ticket DESC LIMIT 1
) AS candidate WHERE end_ticket >= %(number)s

-- name: probe
-- Whether the database answers, can be written to, lets this role sell, and has an event; and whether a
-- commit waits too long for a synchronous standby. Every role sees what its own sessions wait for.
-- Citus needs the 1, and reads one pool of each shard.
SELECT current_setting('transaction_read_only')::boolean AS read_only,
       has_column_privilege('{schema}.ticket_pools', 'available', 'UPDATE') AS may_sell,
       EXISTS (SELECT 1 FROM {schema}.ticket_pools LIMIT 1) AS has_events,
       EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'
               AND query_start < clock_timestamp() - %(commit_limit)s * interval '1 second') AS unconfirmed
