-- name: drop
-- The tables of a script are made anew for each run.
DROP SCHEMA IF EXISTS {schema} CASCADE

-- name: create
-- Apart from both schemas of the service.
CREATE SCHEMA {schema}

-- name: create_pool
-- How many tickets are left. No constraint: what a script does wrong must be possible.
CREATE TABLE {schema}.pool (available integer NOT NULL)

-- name: fill_pool
-- The stock that a script begins with.
INSERT INTO {schema}.pool VALUES (%(available)s)

-- name: create_tickets
-- A row per ticket.
CREATE TABLE {schema}.tickets (number integer NOT NULL, buyer text NOT NULL)

-- name: create_ranges
-- A row per purchase.
CREATE TABLE {schema}.ranges (first integer NOT NULL, last integer NOT NULL, buyer text NOT NULL)

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
