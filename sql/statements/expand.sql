-- name: events
-- The events to expand.
SELECT event_id FROM {schema}.ticket_pools
WHERE %(event)s::text IS NULL OR event_id = %(event)s::text ORDER BY event_id

-- name: expand_batch
-- Turn some ranges into one row per ticket, in one statement: a ticket is in one of the two tables at
-- every moment, and whatever ends this statement early leaves its ranges as they were. A range that
-- another worker holds is skipped. By physical address, so that no plan reads the whole table.
WITH removed AS (
    DELETE FROM {schema}.ticket_allocations WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {schema}.ticket_allocations WHERE event_id = %(event)s::text
        ORDER BY start_ticket LIMIT %(ranges)s FOR UPDATE SKIP LOCKED))
    RETURNING *
)
INSERT INTO {schema}.issued_tickets (event_id, ticket_number, user_id, created_at)
SELECT event_id, generate_series(start_ticket, end_ticket), user_id, created_at FROM removed

-- name: ranges_left
-- How many ranges are not expanded.
SELECT count(*) FROM {schema}.ticket_allocations
WHERE %(event)s::text IS NULL OR event_id = %(event)s::text
