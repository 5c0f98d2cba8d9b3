-- The role of the service: it can sell and read. It cannot create or delete an event, change a total,
-- change or delete an issued ticket, remove a key that is younger than a day, or alter a table: only the
-- owner can. A service logs in as a member of this role:
--   CREATE ROLE my_service LOGIN PASSWORD '…' IN ROLE ticketsvc_seller;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ticketsvc_seller') THEN
        CREATE ROLE ticketsvc_seller NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN -- created at this moment, for another database
        NULL;
END $$;

GRANT USAGE ON SCHEMA original, fixed TO ticketsvc_seller;
GRANT SELECT ON ALL TABLES IN SCHEMA original, fixed TO ticketsvc_seller;

-- A sale updates the stock. The role can set any value that the constraints allow: in schema fixed a wrong
-- stock can stop an event from selling, and the sequence of tickets prevents anything worse.
GRANT UPDATE (available) ON original.ticket_pools TO ticketsvc_seller;
GRANT UPDATE (available, next_ticket_number) ON fixed.ticket_pools TO ticketsvc_seller;

GRANT INSERT ON original.issued_tickets TO ticketsvc_seller;
GRANT USAGE ON SEQUENCE original.issued_tickets_id_seq TO ticketsvc_seller;
GRANT INSERT ON fixed.issued_tickets, fixed.ticket_allocations, fixed.idempotency_keys
TO ticketsvc_seller;
GRANT EXECUTE ON FUNCTION fixed.forget_old_keys TO ticketsvc_seller;
