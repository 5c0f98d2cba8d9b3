-- name: unique_number
-- The one guard: no number of an event is issued twice.
ALTER TABLE {schema}.issued_tickets
ADD CONSTRAINT issued_tickets_unique_number UNIQUE (event_id, ticket_number)

-- name: last_number
-- The highest number issued so far, ranges left aside.
SELECT coalesce(max(ticket_number), 0) AS number FROM {schema}.issued_tickets
WHERE event_id = %(event)s
