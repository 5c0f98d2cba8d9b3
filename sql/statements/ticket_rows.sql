-- name: reserve
-- Check and subtract in one statement; it returns no row when too few tickets are left.
UPDATE {schema}.ticket_pools SET available = available - %(quantity)s
WHERE event_id = %(event)s AND available >= %(quantity)s
RETURNING total - available - %(quantity)s + 1 AS first

-- name: reserve_in_step
-- The same in schema fixed, whose pool also has the next number.
UPDATE {schema}.ticket_pools
SET available = available - %(quantity)s, next_ticket_number = next_ticket_number + %(quantity)s
WHERE event_id = %(event)s AND available >= %(quantity)s
RETURNING next_ticket_number - %(quantity)s AS first

-- name: insert_tickets
-- One row per ticket, all in one statement.
INSERT INTO {schema}.issued_tickets (event_id, user_id, ticket_number)
SELECT %(event)s, %(user)s, number FROM generate_series(%(first)s::int, %(last)s::int) AS number
