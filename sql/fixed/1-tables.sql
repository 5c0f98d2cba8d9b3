-- The schema that makes every bad state impossible: no code can write a ticket that overlaps
-- another, leaves a gap or is out of range.
--
-- The invariant: an event's issued tickets are exactly the numbers 1 to N, each once; N is at most
-- the event's total; total, available and next_ticket_number agree with each other. Whether they
-- also agree with N depends on the allocator: it writes the pool and the tickets one after the
-- other, and needs a transaction for that. Without one, the audit reports drift.
--
--   what cannot happen                           what forbids it
--   ------------------------------------------   ---------------------------------------------
--   available below zero or above total          ticket_pools_available_in_range
--   total, available, next number drift apart    ticket_pools_in_step
--   a ticket row issued twice                    issued_tickets_pkey
--   two ranges overlapping                       ticket_allocations_pkey, issue_in_sequence
--   a row inside a range, or the reverse         issue_in_sequence
--   a gap, a number below 1 or above total,
--   a ticket of an unknown event                 issue_in_sequence
--   an issued number changed or deleted          issued_for_good
--   a pool removed under its tickets             pool_outlives_tickets
--   a total lowered below what is issued, or a
--   new or renamed pool over existing tickets    pool_fits_tickets
--   a purchase made twice under one key          idempotency_keys_pkey
--
-- Why triggers and not a foreign-key chain or an exclusion constraint: see
-- docs/decisions/0002-sequence-trigger.md, with measurements.

CREATE SCHEMA fixed;
COMMENT ON SCHEMA fixed IS 'ticketsvc schema 4: as it must be';

-- The rule for the size of a purchase, in one place: a positive multiple of 8.
CREATE FUNCTION fixed.is_whole_blocks(tickets integer) RETURNS boolean LANGUAGE sql IMMUTABLE
RETURN tickets > 0 AND tickets % 8 = 0;

-- One row per event. Concurrent purchases of an event wait for this row.
-- The page has free room and no changed column is indexed, so a sale is normally a HOT update.
CREATE TABLE fixed.ticket_pools (
    event_id           varchar(50) PRIMARY KEY,
    total              integer NOT NULL,
    available          integer NOT NULL,
    next_ticket_number integer NOT NULL,
    -- No oversell: a decrement below zero is refused.
    CONSTRAINT ticket_pools_available_in_range CHECK (available BETWEEN 0 AND total),
    -- No drift between the three columns.
    CONSTRAINT ticket_pools_in_step CHECK (next_ticket_number = total - available + 1)
) WITH (fillfactor = 50);
COMMENT ON TABLE fixed.ticket_pools IS 'Stock of each event; next_ticket_number = total - available + 1, always';

-- One row per purchase: the consecutive numbers start_ticket to end_ticket, both included.
CREATE TABLE fixed.ticket_allocations (
    event_id     varchar(50) NOT NULL,
    start_ticket integer NOT NULL,
    end_ticket   integer NOT NULL,
    user_id      varchar(50) NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- No two ranges start at the same number; issue_in_sequence forbids all other overlaps.
    CONSTRAINT ticket_allocations_pkey PRIMARY KEY (event_id, start_ticket),
    CONSTRAINT ticket_allocations_from_one CHECK (start_ticket >= 1),
    -- A range is never empty and never runs backward.
    CONSTRAINT ticket_allocations_whole_blocks
        CHECK (fixed.is_whole_blocks(end_ticket - start_ticket + 1))
);
COMMENT ON TABLE fixed.ticket_allocations IS 'One row per purchase: a range of ticket numbers';

-- One row per ticket.
CREATE TABLE fixed.issued_tickets (
    event_id      varchar(50) NOT NULL,
    ticket_number integer NOT NULL,
    user_id       varchar(50) NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    -- No number is issued twice.
    CONSTRAINT issued_tickets_pkey PRIMARY KEY (event_id, ticket_number),
    CONSTRAINT issued_tickets_from_one CHECK (ticket_number >= 1)
);
COMMENT ON TABLE fixed.issued_tickets IS 'One row per ticket';

-- One row per ticket, however it was sold.
CREATE VIEW fixed.tickets AS
    SELECT event_id, ticket_number, user_id, created_at
    FROM fixed.issued_tickets
    UNION ALL
    SELECT event_id, generate_series(start_ticket, end_ticket), user_id, created_at
    FROM fixed.ticket_allocations;
COMMENT ON VIEW fixed.tickets IS 'Derived: one row per ticket, from rows and ranges alike';
