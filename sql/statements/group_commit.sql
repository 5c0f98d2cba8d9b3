-- name: reserve
-- Sell to a batch of purchases of one event, in order of arrival: one statement, one commit.
SELECT first_tickets, refusals FROM {schema}.reserve(
    %(event)s::varchar, %(users)s::varchar[], %(quantities)s::integer[], %(wait)s,
    %(keys)s::varchar[])

-- name: reserve_several
-- The same for several events; an event whose pool row another transaction has locked is 'busy'.
SELECT event, sold.first_tickets, sold.refusals
FROM (
    SELECT event, array_agg(buyer ORDER BY place) AS users,
           array_agg(quantity ORDER BY place) AS quantities,
           array_agg(key ORDER BY place) AS keys
    FROM unnest(%(events)s::varchar[], %(users)s::varchar[], %(quantities)s::integer[],
                %(keys)s::varchar[])
         WITH ORDINALITY AS waiting (event, buyer, quantity, key, place)
    GROUP BY event
) AS asked, {schema}.reserve(event, users, quantities, false, keys) AS sold
