-- name: create_btree_gist
-- What the exclusion constraint needs.
CREATE EXTENSION IF NOT EXISTS btree_gist

-- name: make_pool
-- A pool that no measurement empties.
INSERT INTO {schema}.ticket_pools VALUES (%(event)s, %(total)s, %(total)s, 1)

-- name: create
-- Each net has a schema of its own. Its tables have the columns of `fixed`, and its pool also the
-- rules. As it is made here, the net `none` forbids nothing.
CREATE SCHEMA {schema}
CREATE TABLE {schema}.ticket_pools (LIKE fixed.ticket_pools INCLUDING ALL) WITH (fillfactor = 50)
CREATE TABLE {schema}.ticket_allocations (LIKE fixed.ticket_allocations INCLUDING DEFAULTS)

-- name: primary_key
-- Two ranges never start at the same number; they may overlap and leave gaps.
ALTER TABLE {schema}.ticket_allocations ADD PRIMARY KEY (event_id, start_ticket)

-- name: exclusion
-- No overlap, by a GiST index; gaps and numbers beyond the total pass.
ALTER TABLE {schema}.ticket_allocations ADD CONSTRAINT no_overlap EXCLUDE USING gist
    (event_id WITH =, int4range(start_ticket, end_ticket, '[]') WITH &&)

-- name: chain
-- Each range starts where another ends: no overlap and no gap; numbers beyond the total pass.
ALTER TABLE {schema}.ticket_allocations
    ADD COLUMN previous_end integer GENERATED ALWAYS AS (nullif(start_ticket - 1, 0)) STORED,
    ADD PRIMARY KEY (event_id, start_ticket), ADD UNIQUE (event_id, end_ticket),
    ADD FOREIGN KEY (event_id, previous_end)
        REFERENCES {schema}.ticket_allocations (event_id, end_ticket),
    ADD CHECK (start_ticket >= 1 AND end_ticket > start_ticket)

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
