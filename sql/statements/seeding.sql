-- name: lock_pool
-- Let purchases of the event wait.
SELECT FROM {schema}.ticket_pools WHERE event_id = %(event)s FOR UPDATE

-- name: remove_rows
-- Delete an event's ticket rows.
DELETE FROM {schema}.issued_tickets WHERE event_id = %(event)s

-- name: remove_ranges
-- Delete an event's ranges.
DELETE FROM {schema}.ticket_allocations WHERE event_id = %(event)s

-- name: remove_keys
-- Delete an event's idempotency keys: their tickets no longer exist.
DELETE FROM {schema}.idempotency_keys WHERE event_id = %(event)s

-- name: remove_pool
-- Delete an event's pool.
DELETE FROM {schema}.ticket_pools WHERE event_id = %(event)s

-- name: insert_pool_original
-- A pool in schema original.
INSERT INTO {schema}.ticket_pools (event_id, total, available)
VALUES (%(event)s, %(total)s, %(total)s - %(sold)s)

-- name: insert_pool_fixed
-- A pool in schema fixed, with the next number.
INSERT INTO {schema}.ticket_pools (event_id, total, available, next_ticket_number)
VALUES (%(event)s, %(total)s, %(total)s - %(sold)s, %(sold)s + 1)

-- name: insert_sold_rows
-- Tickets 1 to sold, 8 to a user.
INSERT INTO {schema}.issued_tickets (event_id, user_id, ticket_number)
SELECT %(event)s::varchar, format('user_%%s_%%s', (number - 1) / 8 + 1, %(event)s::varchar), number
FROM generate_series(1, %(sold)s::int) AS number

-- name: insert_sold_ranges
-- Tickets 1 to sold, one range of 8 to a user.
INSERT INTO {schema}.ticket_allocations (event_id, user_id, start_ticket, end_ticket)
SELECT %(event)s::varchar, format('user_%%s_%%s', k, %(event)s::varchar), 8 * k - 7, 8 * k
FROM generate_series(1, %(sold)s::int / 8) AS k
