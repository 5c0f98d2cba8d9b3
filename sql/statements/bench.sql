-- name: columns
-- What the tables of a ledger have, ours or a foreign one's.
SELECT relname, attname FROM pg_attribute
JOIN pg_class ON pg_class.oid = attrelid
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = %(schema)s AND attnum > 0 AND NOT attisdropped

-- name: make_pools
-- A pool for each event, as the original has it.
INSERT INTO {schema}.ticket_pools (event_id, total, available)
SELECT event, %(total)s, %(total)s - %(sold)s FROM unnest(%(events)s::text[]) AS event

-- name: make_pools_with_next
-- Pools that also count forward.
INSERT INTO {schema}.ticket_pools (event_id, total, available, next_ticket_number)
SELECT event, %(total)s, %(total)s - %(sold)s, %(sold)s + 1 FROM unnest(%(events)s::text[]) AS event

-- name: make_sold
-- Tickets 1 to sold of each event, in ranges of so many; the last takes what is left.
INSERT INTO {schema}.ticket_allocations (event_id, user_id, start_ticket, end_ticket)
SELECT event, 'sold before', first, least(first + %(per_range)s - 1, %(sold)s)
FROM unnest(%(events)s::text[]) AS event, generate_series(1, %(sold)s::int, %(per_range)s::int) AS first

-- name: analyze_ranges
-- Let the planner know of many new rows.
ANALYZE {schema}.ticket_allocations

-- name: sold
-- How many tickets the pools say are sold.
SELECT coalesce(sum(total::bigint - available), 0) FROM {schema}.ticket_pools
WHERE event_id = ANY(%(events)s)

-- name: ranges_per_commit
-- How many purchases each commit carried: the ranges that one transaction wrote.
SELECT purchases, count(*) FROM (
    SELECT count(*) AS purchases FROM {schema}.ticket_allocations
    WHERE event_id = ANY(%(events)s) GROUP BY xmin
) AS transactions GROUP BY purchases ORDER BY purchases

-- name: position
-- How far the server has come: bytes of WAL, transaction numbers given out.
SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint

-- name: unflushed
-- Bytes of WAL that are written and would be lost in a crash now.
SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn()

-- name: busy
-- Whether anybody else is at work in this database.
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type = 'client backend' AND state <> 'idle'
)

-- name: server_processes
-- Every process of the server, when it runs on this machine.
SELECT pid FROM pg_stat_activity
WHERE inet_server_addr() IS NULL OR inet_server_addr() << '127.0.0.0/8' OR inet_server_addr() = '::1'

-- name: remove_pools
-- First of a clean-up: pool and tickets go together.
DELETE FROM {schema}.ticket_pools WHERE event_id = ANY(%(events)s)

-- name: remove_rows
-- The ticket rows of the events.
DELETE FROM {schema}.issued_tickets WHERE event_id = ANY(%(events)s)

-- name: remove_ranges
-- The ranges of the events.
DELETE FROM {schema}.ticket_allocations WHERE event_id = ANY(%(events)s)
