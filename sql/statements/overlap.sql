-- name: lock_row
-- Let nobody subtract; a plain read does not wait for this lock.
SELECT event_id FROM {schema}.ticket_pools WHERE event_id = %(event)s FOR NO KEY UPDATE

-- name: lock_table
-- Let nobody read either.
LOCK TABLE {schema}.ticket_pools IN ACCESS EXCLUSIVE MODE

-- name: waiting_sessions
-- Sessions that wait for a lock of this one, or for a session that does.
WITH RECURSIVE waits AS MATERIALIZED (
    SELECT DISTINCT pid, pg_blocking_pids(pid) AS blockers FROM pg_locks WHERE NOT granted
), waiting AS (
    SELECT pid FROM waits WHERE pg_backend_pid() = ANY(blockers)
    UNION
    SELECT waits.pid FROM waits JOIN waiting ON waiting.pid = ANY(waits.blockers)
)
SELECT count(*) FROM waiting
