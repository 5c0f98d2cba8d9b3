-- name: make_sold
-- Tickets 1 to sold of each event, in ranges of per_range tickets; the last has the rest.
INSERT INTO {schema}.ticket_allocations (event_id, user_id, start_ticket, end_ticket)
SELECT event, 'sold before', first, least(first + %(per_range)s - 1, %(sold)s)
FROM unnest(%(events)s::text[]) AS event, generate_series(1, %(sold)s::int, %(per_range)s::int) AS first

-- name: analyze_ranges
-- Update the planner's statistics after many new rows.
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
-- Bytes of WAL that the server has written, and its next transaction id.
SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint

-- name: unflushed
-- Bytes of WAL that a crash would lose now.
SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn()

-- name: round_trip
-- The least that a statement can do.
SELECT 1

-- name: latest_trip
-- When a session's latest statement ended, and whether its open transaction makes a rival wait: it
-- has written or locked a row, or holds an advisory lock.
SELECT state_change, EXISTS (
    SELECT FROM pg_locks
    WHERE pg_locks.pid = activity.pid AND granted
      AND (locktype = 'advisory' OR (locktype = 'transactionid' AND mode = 'ExclusiveLock'))
)
FROM pg_stat_activity AS activity WHERE pid = %(pid)s

-- name: busy
-- Whether another session of this database is busy.
SELECT EXISTS (
    SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type = 'client backend' AND state <> 'idle'
)

-- name: server_processes
-- The server's processes; none when it runs on another machine.
SELECT pid FROM pg_stat_activity
WHERE inet_server_addr() IS NULL OR inet_server_addr() << '127.0.0.0/8' OR inet_server_addr() = '::1'
