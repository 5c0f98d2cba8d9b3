-- The original schema: two tables without a constraint that forbids a bad state.
-- It stays as it was, because the bug can be shown only where nothing prevents it.

CREATE SCHEMA original;
COMMENT ON SCHEMA original IS 'ticketsvc schema 4: as it was';

-- One row per event. A purchase reads `available`, decides, and subtracts later.
-- No CHECK: the subtraction can take it below zero.
CREATE TABLE original.ticket_pools (
    event_id  varchar(50) PRIMARY KEY,
    total     integer NOT NULL,
    available integer NOT NULL
);
COMMENT ON TABLE original.ticket_pools IS 'Stock of each event, decremented after the tickets are issued';

-- One row per ticket. No UNIQUE (event_id, ticket_number): the same number can be issued again.
-- No foreign key: a ticket may belong to no event.
CREATE TABLE original.issued_tickets (
    id            serial PRIMARY KEY,
    event_id      varchar(50) NOT NULL,
    user_id       varchar(50) NOT NULL,
    ticket_number integer NOT NULL,
    created_at    timestamp NOT NULL DEFAULT now()
);
COMMENT ON TABLE original.issued_tickets IS 'One row per ticket, without a constraint on its number';
