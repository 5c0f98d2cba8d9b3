-- name: unique_number
-- The only guard: an event's number is not issued twice.
ALTER TABLE {schema}.issued_tickets
ADD CONSTRAINT issued_tickets_unique_number UNIQUE (event_id, ticket_number)

-- name: last_number
-- The highest number among the ticket rows.
SELECT coalesce(max(ticket_number), 0) AS number FROM {schema}.issued_tickets
WHERE event_id = %(event)s
