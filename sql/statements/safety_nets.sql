-- name: create_btree_gist
-- What the exclusion constraint needs.
CREATE EXTENSION IF NOT EXISTS btree_gist

-- name: create_schema
-- Each net has a schema of its own.
CREATE SCHEMA {schema}

-- name: drop_schema
-- Remove the net and its tables.
DROP SCHEMA IF EXISTS {schema} CASCADE

-- name: make_pool
-- A pool that no measurement empties.
INSERT INTO {schema}.ticket_pools VALUES (%(event)s, %(total)s, %(total)s, 1)

-- name: pool
-- The pool is the same under every net.
CREATE TABLE {schema}.ticket_pools (
    event_id varchar(50) PRIMARY KEY, total integer NOT NULL,
    available integer NOT NULL, next_ticket_number integer NOT NULL,
    CHECK (available BETWEEN 0 AND total), CHECK (next_ticket_number = total - available + 1)
) WITH (fillfactor = 50)

-- name: none
-- Nothing is forbidden.
CREATE TABLE {schema}.ticket_allocations (
    event_id varchar(50) NOT NULL, start_ticket integer NOT NULL, end_ticket integer NOT NULL,
    user_id varchar(50) NOT NULL, created_at timestamptz NOT NULL DEFAULT now()
)

-- name: primary_key
-- Two ranges never start at the same number; they may overlap and leave gaps.
CREATE TABLE {schema}.ticket_allocations (
    event_id varchar(50) NOT NULL, start_ticket integer NOT NULL, end_ticket integer NOT NULL,
    user_id varchar(50) NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (event_id, start_ticket)
)

-- name: exclusion
-- No overlap, by a GiST index; gaps and numbers beyond the total pass.
CREATE TABLE {schema}.ticket_allocations (
    event_id varchar(50) NOT NULL, start_ticket integer NOT NULL, end_ticket integer NOT NULL,
    user_id varchar(50) NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT no_overlap EXCLUDE USING gist
        (event_id WITH =, int4range(start_ticket, end_ticket, '[]') WITH &&)
)

-- name: chain
-- Each range starts where another ends: no overlap and no gap; numbers beyond the total pass.
CREATE TABLE {schema}.ticket_allocations (
    event_id varchar(50) NOT NULL, start_ticket integer NOT NULL, end_ticket integer NOT NULL,
    user_id varchar(50) NOT NULL, created_at timestamptz NOT NULL DEFAULT now(),
    previous_end integer GENERATED ALWAYS AS (nullif(start_ticket - 1, 0)) STORED,
    PRIMARY KEY (event_id, start_ticket), UNIQUE (event_id, end_ticket),
    FOREIGN KEY (event_id, previous_end)
        REFERENCES {schema}.ticket_allocations (event_id, end_ticket),
    CHECK (start_ticket >= 1 AND end_ticket > start_ticket)
)

-- name: sell
-- Sell the next ranges of 8, several in one statement.
WITH reserved AS (
    UPDATE {schema}.ticket_pools
    SET available = available - 8 * %(ranges)s, next_ticket_number = next_ticket_number + 8 * %(ranges)s
    WHERE event_id = %(event)s AND available >= 8 * %(ranges)s
    RETURNING next_ticket_number - 8 * %(ranges)s AS first
)
INSERT INTO {schema}.ticket_allocations (event_id, user_id, start_ticket, end_ticket)
SELECT %(event)s, 'buyer', first + 8 * k, first + 8 * k + 7
FROM reserved, generate_series(0, %(ranges)s - 1) AS k
