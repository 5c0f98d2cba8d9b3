-- name: terminate_sessions
-- End every session of the services' logins.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE starts_with(usename, %(prefix)s)
