-- name: tables
-- The ordinary tables that a scenario's schema has made, each with the columns that can be written.
SELECT format('%I.%I', nspname, relname) AS name,
       string_agg(quote_ident(attname), ', ' ORDER BY attnum) AS columns
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
     AND attgenerated = ''
WHERE relkind = 'r' AND relpersistence <> 't'
  AND nspname NOT IN ('pg_catalog', 'information_schema', 'ticketsvc_saved')
  AND NOT starts_with(nspname, 'pg_')
GROUP BY nspname, relname
ORDER BY 1

-- name: sequences
-- Every sequence with its position.
SELECT format('%I.%I', schemaname, sequencename) AS name,
       COALESCE(last_value, start_value) AS value,
       last_value IS NOT NULL AS is_called
FROM pg_sequences
WHERE schemaname <> 'ticketsvc_saved'

-- name: blockers
-- For each session, the sessions that it waits for.
SELECT pid, pg_blocking_pids(pid) FROM unnest(%(pids)s::int[]) AS pid

-- name: functions
-- Functions of the user's that a statement may call: what they do shows in no plan.
SELECT DISTINCT proname FROM pg_proc
JOIN pg_namespace ON pg_namespace.oid = pronamespace
WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND provolatile <> 'i'

-- name: numbered_columns
-- Columns that a sequence fills: their values tell in which order rows were inserted.
SELECT DISTINCT attname FROM pg_attrdef
JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
WHERE pg_get_expr(adbin, adrelid) LIKE 'nextval(%%'
UNION
SELECT attname FROM pg_attribute WHERE attidentity <> ''
