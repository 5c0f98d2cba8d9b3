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
-- Tables with a trigger for one kind of write, those of foreign keys included, or with a constraint
-- that calls a function of the user's: these may read and lock any table.
SELECT nspname || '.' || relname FROM pg_trigger
JOIN pg_class ON pg_class.oid = tgrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE tgtype & %(kind)s > 0
UNION
SELECT nspname || '.' || relname FROM pg_constraint
JOIN pg_depend ON classid = 'pg_constraint'::regclass AND objid = pg_constraint.oid
     AND refclassid = 'pg_proc'::regclass
JOIN pg_class ON pg_class.oid = conrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace

-- name: roots
-- For each partition, and each table that inherits, the table at the top.
WITH RECURSIVE upwards AS (
    SELECT inhrelid AS child, inhparent AS parent FROM pg_inherits
    UNION
    SELECT child, inhparent FROM upwards JOIN pg_inherits ON inhrelid = parent
)
SELECT child_schema.nspname || '.' || child_table.relname,
       root_schema.nspname || '.' || root_table.relname
FROM upwards
JOIN pg_class AS child_table ON child_table.oid = child
JOIN pg_namespace AS child_schema ON child_schema.oid = child_table.relnamespace
JOIN pg_class AS root_table ON root_table.oid = parent
JOIN pg_namespace AS root_schema ON root_schema.oid = root_table.relnamespace
WHERE NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = parent)

-- name: plan_of
-- Before a statement: how the server would run it.
EXPLAIN (VERBOSE, FORMAT JSON)

-- name: vacuum_original
-- Remove the dead rows that resets leave behind, which every later statement would have to skip.
VACUUM {schema}.ticket_pools, {schema}.issued_tickets

-- name: vacuum_fixed
-- The same in the fixed schema.
VACUUM {schema}.ticket_pools, {schema}.issued_tickets, {schema}.ticket_allocations
