-- name: create_database
-- A database of its own for one run, in the encoding of the database it stands beside.
CREATE DATABASE {database} TEMPLATE template0 ENCODING %(encoding)s

-- name: drop_database
-- The database, whoever is still connected to it.
DROP DATABASE IF EXISTS {database} WITH (FORCE)

-- name: left_behind
-- Databases of runs that were killed: ours, and nobody is connected under their name.
SELECT datname FROM pg_database
WHERE starts_with(datname, %(prefix)s) AND datdba = current_user::regrole
  AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = pg_database.datname)
