-- name: find_database
-- A row when the server has the database.
SELECT FROM pg_database WHERE datname = %(name)s

-- name: create_database
-- An empty database.
CREATE DATABASE {database}
