-- name: backend_pid
-- The process that serves this connection, as PostgreSQL says. A pooler tells its clients another number.
SELECT pg_backend_pid()
