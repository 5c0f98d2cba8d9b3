-- The role of whoever serves: it sells and reads. It cannot make or remove an event, change a total, change
-- or delete what is sold, forget a key before its time, or alter a table: for that one has to be the owner.
-- Logins are made apart, as members of it:
--   CREATE ROLE my_service LOGIN PASSWORD '…' IN ROLE ticketsvc_seller;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ticketsvc_seller') THEN
        CREATE ROLE ticketsvc_seller NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN -- made at this moment, for another database
        NULL;
END $$;

GRANT USAGE ON SCHEMA original, fixed TO ticketsvc_seller;
GRANT SELECT ON ALL TABLES IN SCHEMA original, fixed TO ticketsvc_seller;

-- Selling subtracts. That a column may be written means any value that the constraints allow: a stock
-- counted wrong stops an event in fixed, where the sequence of tickets forbids the rest.
GRANT UPDATE (available) ON original.ticket_pools TO ticketsvc_seller;
GRANT UPDATE (available, next_ticket_number) ON fixed.ticket_pools TO ticketsvc_seller;

GRANT INSERT ON original.issued_tickets TO ticketsvc_seller;
GRANT USAGE ON SEQUENCE original.issued_tickets_id_seq TO ticketsvc_seller;
GRANT INSERT ON fixed.issued_tickets, fixed.ticket_allocations, fixed.idempotency_keys
TO ticketsvc_seller;
GRANT EXECUTE ON FUNCTION fixed.forget_old_keys TO ticketsvc_seller;
