-- name: ledger_original
-- All there is of an event, the pool first: kind, holder, first and last number.
SELECT 0 AS kind, '' AS holder, total AS first, available AS last, NULL::integer AS following
FROM {schema}.ticket_pools WHERE event_id = %(event)s
UNION ALL
SELECT 1, user_id, ticket_number, ticket_number, NULL FROM {schema}.issued_tickets
WHERE event_id = %(event)s
ORDER BY kind, first, holder

-- name: ledger_fixed
-- The same where the pool also counts forward and a purchase can be one range.
SELECT 0 AS kind, '' AS holder, total AS first, available AS last, next_ticket_number AS following
FROM {schema}.ticket_pools WHERE event_id = %(event)s
UNION ALL
SELECT 1, user_id, ticket_number, ticket_number, NULL FROM {schema}.issued_tickets
WHERE event_id = %(event)s
UNION ALL
SELECT 1, user_id, start_ticket, end_ticket, NULL FROM {schema}.ticket_allocations
WHERE event_id = %(event)s
ORDER BY kind, first, holder
