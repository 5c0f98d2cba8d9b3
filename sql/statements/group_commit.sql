-- name: reserve
-- Everybody who waits for the event, in order of arrival: one statement, one commit.
SELECT first_tickets, refusals
FROM {schema}.reserve(%(event)s::varchar, %(users)s::varchar[], %(quantities)s::integer[])
