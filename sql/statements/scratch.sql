-- name: create_database
-- A database for one run, in the encoding of the user's database.
CREATE DATABASE {database} TEMPLATE template0 ENCODING %(encoding)s

-- name: drop_database
-- Drop it, and end the sessions that are still connected.
DROP DATABASE IF EXISTS {database} WITH (FORCE)

-- name: left_behind
-- Databases of killed runs: this role owns them, and no session has their name.
SELECT datname FROM pg_database
WHERE starts_with(datname, %(prefix)s) AND datdba = current_user::regrole
  AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = pg_database.datname)
