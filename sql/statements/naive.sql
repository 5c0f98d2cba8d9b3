-- name: read_pool
-- The stale read: true now, but acted upon later.
SELECT total, available FROM {schema}.ticket_pools WHERE event_id = %(event)s

-- name: insert_ticket
-- One row, one commit; nothing checks that the number is still free.
INSERT INTO {schema}.issued_tickets (event_id, user_id, ticket_number)
VALUES (%(event)s, %(user)s, %(number)s)

-- name: decrement
-- Subtract without a check that enough is left.
UPDATE {schema}.ticket_pools SET available = available - %(quantity)s
WHERE event_id = %(event)s

-- name: decrement_in_step
-- The same in schema fixed, whose pool also has the next number.
UPDATE {schema}.ticket_pools
SET available = available - %(quantity)s, next_ticket_number = next_ticket_number + %(quantity)s
WHERE event_id = %(event)s
