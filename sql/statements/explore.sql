-- name: blockers
-- The backends that each of some backends waits for.
SELECT pid, pg_blocking_pids(pid) FROM unnest(%(pids)s::integer[]) AS pid

-- name: guarded_tables
-- Tables in which one insert can block another: those with a unique or exclusion index. One that
-- a sequence feeds does not count, because a sequence never returns the same number twice.
SELECT DISTINCT nspname || '.' || relname FROM pg_index
JOIN pg_class ON pg_class.oid = indrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE (indisunique OR indisexclusion) AND NOT EXISTS (
    SELECT FROM pg_attrdef WHERE adrelid = indrelid AND adnum = ANY (indkey)
    AND starts_with(pg_get_expr(adbin, adrelid), 'nextval(')
)

-- name: triggered_tables
-- Tables with a trigger for one kind of write, those of foreign keys included: a trigger may
-- read and lock any table.
SELECT DISTINCT nspname || '.' || relname FROM pg_trigger
JOIN pg_class ON pg_class.oid = tgrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE tgtype & %(kind)s > 0

-- name: vacuum_original
-- Remove the dead rows that resets leave behind, which every later statement would have to skip.
VACUUM {schema}.ticket_pools, {schema}.issued_tickets

-- name: vacuum_fixed
-- The same in the fixed schema.
VACUUM {schema}.ticket_pools, {schema}.issued_tickets, {schema}.ticket_allocations
