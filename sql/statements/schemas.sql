-- name: one_at_a_time
-- Let one command at a time make the schemas; the lock ends with the transaction.
SELECT pg_advisory_xact_lock(hashtextextended('ticketsvc schemas', 0))

-- name: find_schema
-- The comment of a schema, which names who made it.
SELECT obj_description(oid, 'pg_namespace') AS made_by FROM pg_namespace WHERE nspname = %(schema)s

-- name: has_citus
-- A row when the database has the extension that spreads tables over machines.
SELECT FROM pg_extension WHERE extname = 'citus'

-- name: drop_schema
-- The schema with all that is in it.
DROP SCHEMA IF EXISTS {schema} CASCADE
