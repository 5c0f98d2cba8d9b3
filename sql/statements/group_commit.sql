-- name: reserve
-- Everybody who waits for one event, in order of arrival: one statement, one commit.
SELECT first_tickets, refusals FROM {schema}.reserve(
    %(event)s::varchar, %(users)s::varchar[], %(quantities)s::integer[], %(wait)s)

-- name: reserve_several
-- The same for several events, except for those whose pool row another transaction holds.
SELECT event, sold.first_tickets, sold.refusals
FROM (
    SELECT event, array_agg(buyer ORDER BY place) AS users,
           array_agg(quantity ORDER BY place) AS quantities
    FROM unnest(%(events)s::varchar[], %(users)s::varchar[], %(quantities)s::integer[])
         WITH ORDINALITY AS waiting (event, buyer, quantity, place)
    GROUP BY event
) AS asked, {schema}.reserve(event, users, quantities, false) AS sold
