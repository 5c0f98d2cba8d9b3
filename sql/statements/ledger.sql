-- name: present_schemas
-- Which of these schemas the database has.
SELECT nspname FROM pg_namespace WHERE nspname = ANY(%(schemas)s) ORDER BY nspname DESC

-- name: columns
-- Columns of a schema with their kind of type. Not information_schema: it hides what may not be read.
SELECT relname, attname, typcategory FROM pg_attribute
JOIN pg_class ON pg_class.oid = attrelid
JOIN pg_namespace ON pg_namespace.oid = relnamespace
JOIN pg_type ON pg_type.oid = atttypid
WHERE nspname = %(schema)s AND attnum > 0 AND NOT attisdropped

-- name: whole
-- The parts of a ledger, in order. In a subquery, Citus reads all parts of an event in one statement, as
-- long as no part casts event_id. The cast here removes the blanks at the end of a char(n).
SELECT event::text, part, holder, first, last, following
FROM ({parts}) AS ledger ORDER BY part, first, holder

-- name: pools
-- Pools, whichever of the three columns they have. The other parts of a ledger have the same columns.
-- A numeric 8.00 is an integer too.
SELECT event_id AS event, 0 AS part, '' AS holder,
       trim_scale((to_jsonb(pool) ->> 'total')::numeric)::text::bigint AS first,
       trim_scale((to_jsonb(pool) ->> 'available')::numeric)::text::bigint AS last,
       trim_scale((to_jsonb(pool) ->> 'next_ticket_number')::numeric)::text::bigint AS following
FROM {schema}.ticket_pools AS pool
WHERE %(events)s::text[] IS NULL OR event_id = ANY(%(events)s::text[])

-- name: pool_number_not_integer
-- A number of a pool that is no integer, so that `pools` cannot read it.
SELECT event_id::text, number.name, number.value
FROM {schema}.ticket_pools AS pool, jsonb_each_text(to_jsonb(pool)) AS number (name, value)
WHERE (%(events)s::text[] IS NULL OR event_id = ANY(%(events)s::text[]))
  AND number.name IN ('total', 'available', 'next_ticket_number')
  AND number.value !~ '^-?[0-9]+([.]0*)?$'
ORDER BY event_id LIMIT 1

-- name: tickets
-- Tickets that have a row each.
SELECT event_id, 1, coalesce(user_id::text, ''), ticket_number, ticket_number, NULL::bigint
FROM {schema}.issued_tickets
WHERE %(events)s::text[] IS NULL OR event_id = ANY(%(events)s::text[])

-- name: ranges
-- Tickets that share a row with their neighbours.
SELECT event_id, 1, coalesce(user_id::text, ''), start_ticket, end_ticket, NULL::bigint
FROM {schema}.ticket_allocations
WHERE %(events)s::text[] IS NULL OR event_id = ANY(%(events)s::text[])

-- name: joined_tickets
-- Unbroken runs of ticket rows, of any holder: the same numbers, each as often, in fewer lines.
SELECT event_id, 1, '', min(ticket_number), max(ticket_number), NULL::bigint FROM (
    SELECT event_id, ticket_number, count(*) FILTER (WHERE breaks)
           OVER (PARTITION BY event_id ORDER BY ticket_number ROWS UNBOUNDED PRECEDING) AS run
    FROM (
        SELECT event_id, ticket_number, ticket_number IS DISTINCT FROM 1 + lag(ticket_number)
               OVER (PARTITION BY event_id ORDER BY ticket_number) AS breaks
        FROM {schema}.issued_tickets
        WHERE %(events)s::text[] IS NULL OR event_id = ANY(%(events)s::text[])
    ) AS marked
) AS numbered GROUP BY event_id, run

-- name: joined_ranges
-- Ranges that follow each other without a break, as one. A backward range stays alone.
SELECT event_id, 1, '', min(start_ticket), max(end_ticket), NULL::bigint FROM (
    SELECT event_id, start_ticket, end_ticket, count(*) FILTER (WHERE breaks)
           OVER (PARTITION BY event_id ORDER BY start_ticket, end_ticket ROWS UNBOUNDED PRECEDING) AS run
    FROM (
        SELECT event_id, start_ticket, end_ticket,
               NOT coalesce(end_ticket >= start_ticket
                            AND lag(end_ticket) OVER pieces >= lag(start_ticket) OVER pieces
                            AND start_ticket = 1 + lag(end_ticket) OVER pieces, false) AS breaks
        FROM {schema}.ticket_allocations
        WHERE %(events)s::text[] IS NULL OR event_id = ANY(%(events)s::text[])
        WINDOW pieces AS (PARTITION BY event_id ORDER BY start_ticket, end_ticket)
    ) AS marked
) AS numbered GROUP BY event_id, run
