-- name: create
-- The tables of a script, apart from both schemas of the service: how many tickets are left, a row per
-- ticket, and a row per purchase. No constraint: what a script does wrong must be possible.
CREATE SCHEMA {schema}
CREATE TABLE {schema}.pool (available integer NOT NULL)
CREATE TABLE {schema}.tickets (number integer NOT NULL, buyer text NOT NULL)
CREATE TABLE {schema}.ranges (first integer NOT NULL, last integer NOT NULL, buyer text NOT NULL)

-- name: fill_pool
-- The stock that a script begins with.
INSERT INTO {schema}.pool VALUES (%(available)s)

-- name: use_schema
-- A script names its tables without their schema.
SELECT set_config('search_path', %(schema)s, false)

-- name: pool
-- What is left at the end.
SELECT available FROM {schema}.pool

-- name: tickets
-- What was issued.
SELECT number, buyer FROM {schema}.tickets ORDER BY number, buyer

-- name: explain
-- Put before a statement: run it, and report what it adds to the log.
EXPLAIN (ANALYZE, WAL, FORMAT JSON)
