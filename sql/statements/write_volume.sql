-- name: autovacuum_off
-- Keep autovacuum, which writes WAL too, away from a table that is measured.
ALTER TABLE {schema}.{table} SET (autovacuum_enabled = off)

-- name: autovacuum_on
-- Let autovacuum run on the table again.
ALTER TABLE {schema}.{table} RESET (autovacuum_enabled)

-- name: wal_position
-- Bytes of WAL that the server has written since it was created.
SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn

-- name: last_checkpoint
-- Where in the WAL the last checkpoint began.
SELECT redo_lsn::text FROM pg_control_checkpoint()

-- name: make_copy_of_rows
-- A fresh table, since the real one reuses space that earlier measurements freed.
CREATE TEMP TABLE copied (LIKE {schema}.issued_tickets INCLUDING ALL) ON COMMIT DROP

-- name: fill_copy_of_rows
-- The event's ledger, several times over.
INSERT INTO copied (event_id, user_id, ticket_number)
SELECT event_id || copy, user_id, ticket_number
FROM {schema}.issued_tickets, generate_series(1, %(copies)s) AS copy WHERE event_id = %(event)s

-- name: size_of_rows
-- Heap and index bytes, and how many purchases they hold.
SELECT pg_relation_size('copied'), pg_indexes_size('copied'), count(DISTINCT (event_id, user_id))
FROM copied

-- name: make_copy_of_ranges
-- A fresh table for ranges.
CREATE TEMP TABLE copied (LIKE {schema}.ticket_allocations INCLUDING ALL) ON COMMIT DROP

-- name: fill_copy_of_ranges
-- The event's ledger, several times over.
INSERT INTO copied (event_id, user_id, start_ticket, end_ticket)
SELECT event_id || copy, user_id, start_ticket, end_ticket
FROM {schema}.ticket_allocations, generate_series(1, %(copies)s) AS copy WHERE event_id = %(event)s

-- name: size_of_ranges
-- Heap and index bytes, and how many purchases they hold.
SELECT pg_relation_size('copied'), pg_indexes_size('copied'), count(*) FROM copied
