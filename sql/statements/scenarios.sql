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

-- name: take_lock
-- The lock that each client holds while it acts, where that is tried as a fix; the key is none of
-- the clients' own, most likely.
SELECT pg_advisory_xact_lock(7405309115)

-- name: functions
-- Functions of the user's: what they do shows in no plan. *alone*: those that triggers
-- and constraints call.
SELECT proname, prosrc,
       pg_proc.oid IN (SELECT tgfoid FROM pg_trigger WHERE NOT tgisinternal)
       OR pg_proc.oid IN (SELECT refobjid FROM pg_depend
                          WHERE classid = 'pg_constraint'::regclass
                            AND refclassid = 'pg_proc'::regclass) AS alone
FROM pg_proc
JOIN pg_namespace ON pg_namespace.oid = pronamespace
WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND provolatile <> 'i'

-- name: deferrable
-- Whether anything may be checked as late as at COMMIT.
SELECT EXISTS (SELECT FROM pg_trigger WHERE tgdeferrable)

-- name: numbered_columns
-- Columns that a sequence or the clock fills: their values tell in which order rows were inserted.
SELECT DISTINCT attname FROM pg_attrdef
JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
WHERE pg_get_expr(adbin, adrelid) ~* %(drawn)s
UNION
SELECT attname FROM pg_attribute WHERE attidentity <> ''
UNION
SELECT relname FROM pg_class WHERE relkind = 'S'

-- name: planned
-- Of a prepared statement: how the server would run it, whatever the values of its parameters.
EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE ticketsvc_planned

-- name: take_search_path
-- Look for tables where a client does; return where they were looked for before.
SELECT current_setting('search_path'), set_config('search_path', %(path)s, false)

-- name: saved_schema
-- Where the copies of the tables are kept.
CREATE SCHEMA ticketsvc_saved

-- name: save
-- For each table of the scenario, what copies it, what empties it, and what puts the copy back.
SELECT format('CREATE TABLE ticketsvc_saved.%%I AS SELECT %%s FROM ONLY %%s', number, columns, name),
       format('DELETE FROM ONLY %%s', name),
       format('INSERT INTO %%s (%%s) OVERRIDING SYSTEM VALUE SELECT * FROM ticketsvc_saved.%%I',
              name, columns, number)
FROM unnest(%(names)s::text[], %(columns)s::text[]) WITH ORDINALITY AS t (name, columns, number)

-- name: restore_sequences
-- What puts each sequence back to where it is now.
SELECT format('SELECT setval(%%L, %%s, %%L)',
              format('%%I.%%I', schemaname, sequencename),
              COALESCE(last_value, start_value), last_value IS NOT NULL)
FROM pg_sequences
WHERE schemaname <> 'ticketsvc_saved'

-- name: refresh_views
-- What computes the materialized views again.
SELECT format('REFRESH MATERIALIZED VIEW %%I.%%I', schemaname, matviewname) FROM pg_matviews
WHERE ispopulated

-- name: vacuum
-- Before the names of tables: remove the dead rows that resets leave behind.
VACUUM

-- name: session_default
-- What every new session of the scratch database starts with.
SELECT format('ALTER DATABASE %%I SET %%I = %%L', current_database(), %(setting)s::text, %(value)s::text)
