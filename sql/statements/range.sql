-- name: reserve_range
-- Check, subtract and allocate in one statement: one round trip, one commit.
WITH reserved AS (
    UPDATE {schema}.ticket_pools
    SET available = available - %(quantity)s, next_ticket_number = next_ticket_number + %(quantity)s
    WHERE event_id = %(event)s AND available >= %(quantity)s
    RETURNING next_ticket_number - %(quantity)s AS first, next_ticket_number - 1 AS last
)
INSERT INTO {schema}.ticket_allocations (event_id, user_id, start_ticket, end_ticket)
SELECT %(event)s, %(user)s, first, last FROM reserved
RETURNING start_ticket AS first, end_ticket AS last

-- name: reserve_range_once
-- The same, and store the tickets under the purchase's key: all or nothing.
WITH reserved AS (
    UPDATE {schema}.ticket_pools
    SET available = available - %(quantity)s, next_ticket_number = next_ticket_number + %(quantity)s
    WHERE event_id = %(event)s AND available >= %(quantity)s
    RETURNING next_ticket_number - %(quantity)s AS first, next_ticket_number - 1 AS last
), claimed AS (
    INSERT INTO {schema}.idempotency_keys (key, event_id, user_id, quantity, first_ticket)
    SELECT %(key)s, %(event)s, %(user)s, %(quantity)s, first FROM reserved
)
INSERT INTO {schema}.ticket_allocations (event_id, user_id, start_ticket, end_ticket)
SELECT %(event)s, %(user)s, first, last FROM reserved
RETURNING start_ticket AS first, end_ticket AS last
