-- Schema fixed on Citus: applied after fixed.sql, in the same transaction, where the database has the
-- extension. Every table is split by event_id, and all rows of an event are on one worker. A sale is
-- a transaction of that worker alone.
--
-- Citus has no triggers on such tables, and a constraint can only compare rows of one event. So:
--
--   guard in fixed.sql         here
--   -------------------------  ---------------------------------------------------------------------
--   issue_in_sequence          ranges: a chain. Each starts where another of its event ends, and starts
--                              and ends are unique. So they are 1 to N without a gap or an overlap,
--                              but may pass the total. Rows: only their primary key. A service can
--                              sell rows after ranges, and no ranges after rows. `ticketsvc expand`
--                              is refused.
--   pool_outlives_tickets      a foreign key to the pool, checked at the commit
--   issued_for_good            the rights of ticketsvc_seller: it cannot change or delete a ticket.
--                              The owner can, as far as the chain stays whole.
--   pool_fits_tickets          nothing: only the owner can change a total
--   idempotency_keys_pkey      the same, per event: a key that is used for two events buys twice
--
-- The audit reports what gets in. Schema original stays on the coordinator.

DROP FUNCTION fixed.issue_ranges_in_sequence, fixed.issue_rows_in_sequence, fixed.lock_total,
    fixed.require_sequence, fixed.refuse_change, fixed.refuse_removal, fixed.refuse_removal_of_ranges,
    fixed.pool_outlives_tickets, fixed.pool_fits_tickets CASCADE; -- with their triggers

-- A primary key contains the column by which its table is split.
ALTER TABLE fixed.idempotency_keys
    DROP CONSTRAINT idempotency_keys_pkey,
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (event_id, key);

SELECT create_distributed_table('fixed.ticket_pools', 'event_id', colocate_with := 'none');
SELECT create_distributed_table('fixed.ticket_allocations', 'event_id', colocate_with := 'fixed.ticket_pools');
SELECT create_distributed_table('fixed.issued_tickets', 'event_id', colocate_with := 'fixed.ticket_pools');
SELECT create_distributed_table('fixed.idempotency_keys', 'event_id', colocate_with := 'fixed.ticket_pools');

-- Citus sends the text of a change of a table to its workers. In a block it is that statement's text,
-- and not the text of this whole file.
DO $$
BEGIN
    -- The chain of ranges. The first range of an event follows none.
    ALTER TABLE fixed.ticket_allocations
        ADD COLUMN previous_end integer GENERATED ALWAYS AS (nullif(start_ticket - 1, 0)) STORED;
    ALTER TABLE fixed.ticket_allocations
        ADD CONSTRAINT ticket_allocations_one_end UNIQUE (event_id, end_ticket);
    ALTER TABLE fixed.ticket_allocations
        ADD CONSTRAINT ticket_allocations_in_sequence FOREIGN KEY (event_id, previous_end)
            REFERENCES fixed.ticket_allocations (event_id, end_ticket);
    ALTER TABLE fixed.ticket_allocations
        ADD CONSTRAINT ticket_allocations_of_a_pool FOREIGN KEY (event_id)
            REFERENCES fixed.ticket_pools (event_id) DEFERRABLE INITIALLY DEFERRED;

    ALTER TABLE fixed.issued_tickets
        ADD CONSTRAINT issued_tickets_of_a_pool FOREIGN KEY (event_id)
            REFERENCES fixed.ticket_pools (event_id) DEFERRABLE INITIALLY DEFERRED;
END $$;

-- The keys of one event: those of all would ask every worker.
CREATE OR REPLACE FUNCTION fixed.keys_used(p_event varchar, p_keys varchar[])
RETURNS varchar[] LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    RETURN ARRAY(SELECT key FROM fixed.idempotency_keys
                 WHERE event_id = p_event AND key = ANY (p_keys));
END $$;

-- Every worker removes its own old keys. There is no bound: Citus deletes no first 10,000.
CREATE OR REPLACE FUNCTION fixed.forget_old_keys() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $$
DECLARE
    forgotten bigint;
BEGIN
    DELETE FROM fixed.idempotency_keys WHERE created_at < now() - interval '24 hours';
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END $$;

-- The whole call travels to the worker of the event: one hop, one local transaction.
SELECT create_distributed_function(
    'fixed.reserve(varchar, varchar[], integer[], boolean, varchar[])', 'p_event',
    colocate_with := 'fixed.ticket_pools');
