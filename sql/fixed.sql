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

-- One row per sold purchase that had a key, written in the transaction that sells. A repeated
-- request is answered from this row. A refused purchase has no row.
CREATE TABLE fixed.idempotency_keys (
    key          varchar(128) NOT NULL,
    event_id     varchar(50) NOT NULL,
    user_id      varchar(50) NOT NULL,
    quantity     integer NOT NULL,
    first_ticket integer NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- One purchase per key, whatever its event: the second is rolled back with its tickets.
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key)
);
COMMENT ON TABLE fixed.idempotency_keys IS 'The answer to each purchase that came with a key';

-- Which of many keys are used, whatever their event, and what was sold under one key. Both use the
-- index even when the plan is made while the table is small and is then kept while it grows.
CREATE FUNCTION fixed.keys_used(p_event varchar, p_keys varchar[])
RETURNS varchar[] LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    RETURN ARRAY(SELECT key FROM fixed.idempotency_keys WHERE key = ANY (p_keys));
END $$;

CREATE FUNCTION fixed.sold_under(p_key varchar)
RETURNS SETOF fixed.idempotency_keys LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY SELECT * FROM fixed.idempotency_keys WHERE key = p_key;
END $$;

-- Remove keys that are more than a day old. The service may call this and may not delete, so it
-- cannot remove a younger key.
CREATE FUNCTION fixed.forget_old_keys() RETURNS bigint LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog AS $$
    WITH forgotten AS (
        DELETE FROM fixed.idempotency_keys
        WHERE key IN (SELECT key FROM fixed.idempotency_keys
                      WHERE created_at < now() - interval '24 hours'
                      LIMIT 10000 FOR UPDATE SKIP LOCKED)
        RETURNING 1
    )
    SELECT count(*) FROM forgotten
$$;
REVOKE EXECUTE ON FUNCTION fixed.forget_old_keys FROM PUBLIC;

-- One row per ticket, however it was sold.
CREATE VIEW fixed.tickets AS
    SELECT event_id, ticket_number, user_id, created_at
    FROM fixed.issued_tickets
    UNION ALL
    SELECT event_id, generate_series(start_ticket, end_ticket), user_id, created_at
    FROM fixed.ticket_allocations;
COMMENT ON VIEW fixed.tickets IS 'Derived: one row per ticket, from rows and ranges alike';

-- Tickets are issued in sequence. What a statement inserts for an event must continue the tickets
-- in both tables without a gap or an overlap, and must end within the total. If the event's
-- tickets were exactly 1 to N before the statement, they are exactly 1 to M after it.
-- The pool row is locked before anything is read: of two writers of one event the second waits,
-- then sees what the first has committed. A purchase that has updated the row holds the lock.
-- A transaction that has not written the pool row writes it unchanged. Under REPEATABLE READ a lock
-- alone would let a later writer continue with a snapshot without these tickets; a new version of
-- the row makes it fail with 40001.
CREATE FUNCTION fixed.lock_total(p_event varchar) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    pool record;
BEGIN
    SELECT total, xmin = pg_current_xact_id()::xid AS written INTO pool
    FROM fixed.ticket_pools WHERE event_id = p_event FOR NO KEY UPDATE;
    IF NOT pool.written THEN
        UPDATE fixed.ticket_pools SET available = available WHERE event_id = p_event;
    END IF;
    RETURN pool.total;
END $$;

CREATE FUNCTION fixed.require_sequence(
    p_event varchar, p_first integer, p_last integer,
    p_unbroken boolean, p_previous integer, p_total integer
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_total IS NULL OR NOT p_unbroken OR p_first <> p_previous + 1 OR p_last > p_total THEN
        RAISE EXCEPTION 'tickets % to % do not continue the sequence', p_first, p_last
        USING ERRCODE = 'check_violation', CONSTRAINT = 'issue_in_sequence',
              DETAIL = format('event %s: issued up to %s, total %s', p_event, p_previous, p_total);
    END IF;
END $$;

CREATE FUNCTION fixed.issue_ranges_in_sequence() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    issue     record;
    the_total integer;
    previous  integer;
BEGIN
    FOR issue IN -- in the order of the event ids, so that two such statements cannot deadlock
        SELECT event_id, min(start_ticket) AS first, max(end_ticket) AS last,
               bool_and(start_ticket = previous_end + 1) AS unbroken
        FROM (SELECT event_id, start_ticket, end_ticket,
                     lag(end_ticket, 1, start_ticket - 1)
                     OVER (PARTITION BY event_id ORDER BY start_ticket) AS previous_end
              FROM inserted) AS in_order
        GROUP BY event_id ORDER BY event_id
    LOOP
        the_total := fixed.lock_total(issue.event_id);
        previous := greatest(
            0,
            (SELECT end_ticket FROM fixed.ticket_allocations
             WHERE event_id = issue.event_id AND start_ticket < issue.first
             ORDER BY start_ticket DESC LIMIT 1),
            (SELECT max(ticket_number) FROM fixed.issued_tickets
             WHERE event_id = issue.event_id));
        PERFORM fixed.require_sequence(
            issue.event_id, issue.first, issue.last, issue.unbroken, previous, the_total);
    END LOOP;
    RETURN NULL;
END $$;

CREATE TRIGGER issue_in_sequence AFTER INSERT ON fixed.ticket_allocations
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION fixed.issue_ranges_in_sequence();

-- Rows are either new tickets or the tickets of ranges that the same statement removes
-- (`ticketsvc expand`). Both are judged by one rule: each unbroken run of rows follows an issued
-- ticket and touches no range. Where a higher ticket is issued already, the rows cannot be new; a
-- share lock on the pool is then enough, so that expanding does not stop sales.
CREATE FUNCTION fixed.issue_rows_in_sequence() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    issue     record;
    the_total integer;
    previous  integer;
BEGIN
    FOR issue IN
        SELECT event_id, min(ticket_number) AS first, max(ticket_number) AS last,
               max(max(ticket_number)) OVER (PARTITION BY event_id) AS highest
        FROM (SELECT event_id, ticket_number, ticket_number - row_number()
                     OVER (PARTITION BY event_id ORDER BY ticket_number) AS run
              FROM inserted) AS in_order
        GROUP BY event_id, run ORDER BY event_id, min(ticket_number)
    LOOP
        IF issue.highest < greatest(
            (SELECT max(ticket_number) FROM fixed.issued_tickets WHERE event_id = issue.event_id),
            (SELECT max(start_ticket) FROM fixed.ticket_allocations
             WHERE event_id = issue.event_id))
        THEN
            SELECT total INTO the_total
            FROM fixed.ticket_pools WHERE event_id = issue.event_id FOR KEY SHARE;
        ELSE
            the_total := fixed.lock_total(issue.event_id);
        END IF;
        previous := greatest(
            0,
            (SELECT ticket_number FROM fixed.issued_tickets
             WHERE event_id = issue.event_id AND ticket_number < issue.first
             ORDER BY ticket_number DESC LIMIT 1),
            (SELECT end_ticket FROM fixed.ticket_allocations
             WHERE event_id = issue.event_id AND start_ticket <= issue.last
             ORDER BY start_ticket DESC LIMIT 1));
        PERFORM fixed.require_sequence(
            issue.event_id, issue.first, issue.last, true, previous, the_total);
    END LOOP;
    RETURN NULL;
END $$;

CREATE TRIGGER issue_in_sequence AFTER INSERT ON fixed.issued_tickets
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION fixed.issue_rows_in_sequence();

-- Sell to several purchases of an event, in order of arrival. The pool row is locked first, so a
-- rival that waits for it judges by what was committed. A purchase that cannot be sold is refused
-- alone; the others are sold. A key in p_keys is stored with the tickets; a key that is stored
-- already is refused as 'key_used', before any other reason. first_tickets has the first number of
-- each purchase, or NULL. refusals is NULL when nothing was refused; otherwise it has a reason
-- where first_tickets has NULL. With p_wait false, a row that another transaction has locked is not
-- waited for: every reason is then 'busy', and nothing is written. The event comes first and the
-- body is plpgsql, so that an engine that spreads events over machines can delegate the whole call
-- to the machine of the event.
CREATE FUNCTION fixed.reserve(
    p_event varchar, p_users varchar[], p_quantities integer[], p_wait boolean DEFAULT true,
    p_keys varchar[] DEFAULT NULL,
    OUT first_tickets integer[], OUT refusals text[]
) LANGUAGE plpgsql AS $$
DECLARE
    buyers   integer := cardinality(p_users);
    unsold   integer;
    next     integer;
    before   integer;
    quantity integer;
    no_pool  text;
    refusal  text;
    asked    varchar[] := array_remove(p_keys, NULL);
    used     varchar[] := '{}';
BEGIN
    IF buyers IS DISTINCT FROM cardinality(p_quantities)
       OR buyers <> coalesce(cardinality(p_keys), buyers)
    THEN
        RAISE EXCEPTION 'as many quantities, and keys if any, as users are needed'
        USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF p_wait THEN
        SELECT available, next_ticket_number INTO unsold, next
        FROM fixed.ticket_pools WHERE event_id = p_event FOR NO KEY UPDATE;
    ELSE
        SELECT available, next_ticket_number INTO unsold, next
        FROM fixed.ticket_pools WHERE event_id = p_event FOR NO KEY UPDATE SKIP LOCKED;
    END IF;
    IF NOT FOUND THEN
        no_pool := 'event_not_found';
        IF NOT p_wait AND EXISTS (SELECT FROM fixed.ticket_pools WHERE event_id = p_event) THEN
            no_pool := 'busy';
        END IF;
    END IF;
    IF cardinality(asked) > 0 THEN
        -- After the lock, so that this sees the keys that the lock's former holder stored.
        used := fixed.keys_used(p_event, asked);
        IF NOT p_wait THEN -- bound the wait for a rival that claims one of the keys for another event
            PERFORM set_config('lock_timeout', '50ms', true);
        END IF;
    END IF;
    before := next;
    first_tickets := array_fill(NULL::integer, ARRAY[buyers]);
    FOR n IN 1 .. buyers LOOP
        quantity := p_quantities[n];
        refusal := CASE
            WHEN no_pool = 'busy' THEN no_pool
            WHEN p_keys[n] = ANY (used) THEN 'key_used'
            WHEN no_pool IS NOT NULL THEN no_pool
            WHEN fixed.is_whole_blocks(quantity) THEN
                CASE WHEN quantity > unsold THEN 'sold_out' END
            ELSE 'invalid_quantity'
        END;
        IF refusal IS NULL THEN
            first_tickets[n] := next;
            next := next + quantity;
            unsold := unsold - quantity;
        ELSE
            refusals := coalesce(refusals, array_fill(NULL::text, ARRAY[buyers]));
            refusals[n] := refusal;
        END IF;
    END LOOP;
    IF next > before THEN
        UPDATE fixed.ticket_pools SET available = unsold, next_ticket_number = next
        WHERE event_id = p_event;
        INSERT INTO fixed.ticket_allocations (event_id, user_id, start_ticket, end_ticket)
        SELECT p_event, sold.user_id, sold.first, sold.first + sold.quantity - 1
        FROM unnest(p_users, first_tickets, p_quantities) AS sold (user_id, first, quantity)
        WHERE sold.first IS NOT NULL;
        IF cardinality(asked) > 0 THEN
            INSERT INTO fixed.idempotency_keys (key, event_id, user_id, quantity, first_ticket)
            SELECT sold.key, p_event, sold.user_id, sold.quantity, sold.first
            FROM unnest(p_keys, p_users, first_tickets, p_quantities)
                 AS sold (key, user_id, first, quantity)
            WHERE sold.first IS NOT NULL AND sold.key IS NOT NULL;
        END IF;
    END IF;
END $$;

-- An issued ticket's number never changes, and the ticket is deleted only together with its
-- event's pool, in one transaction, or as a range that becomes rows. Its holder may change.
CREATE FUNCTION fixed.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of %.% is refused: issued tickets are never changed',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = 'check_violation', CONSTRAINT = 'issued_for_good';
END $$;

CREATE FUNCTION fixed.refuse_removal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM removed JOIN fixed.ticket_pools USING (event_id)) THEN
        RAISE EXCEPTION 'issued tickets are deleted only together with their pool'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'issued_for_good';
    END IF;
    RETURN NULL;
END $$;

-- A range is also removed by the statement that writes a row for each of its tickets, for the same
-- holder.
CREATE FUNCTION fixed.refuse_removal_of_ranges() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (SELECT FROM removed JOIN fixed.ticket_pools USING (event_id)
               WHERE end_ticket - start_ticket + 1 > (
                   SELECT count(*) FROM fixed.issued_tickets AS ticket
                   WHERE ticket.event_id = removed.event_id AND ticket.user_id = removed.user_id
                         AND ticket.ticket_number BETWEEN start_ticket AND end_ticket))
    THEN
        RAISE EXCEPTION 'issued tickets are deleted only together with their pool'
        USING ERRCODE = 'check_violation', CONSTRAINT = 'issued_for_good';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER issued_for_good BEFORE UPDATE OF event_id, start_ticket, end_ticket
    ON fixed.ticket_allocations EXECUTE FUNCTION fixed.refuse_change();
CREATE TRIGGER issued_for_good_all BEFORE TRUNCATE
    ON fixed.ticket_allocations EXECUTE FUNCTION fixed.refuse_change();
CREATE TRIGGER issued_for_good_removal AFTER DELETE ON fixed.ticket_allocations
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION fixed.refuse_removal_of_ranges();

CREATE TRIGGER issued_for_good BEFORE UPDATE OF event_id, ticket_number
    ON fixed.issued_tickets EXECUTE FUNCTION fixed.refuse_change();
CREATE TRIGGER issued_for_good_all BEFORE TRUNCATE
    ON fixed.issued_tickets EXECUTE FUNCTION fixed.refuse_change();
CREATE TRIGGER issued_for_good_removal AFTER DELETE ON fixed.issued_tickets
    REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION fixed.refuse_removal();

-- A pool that has tickets is not deleted or renamed. The check is deferred, so that an event can
-- be reset in one transaction: delete the pool and the tickets, insert a new pool.
CREATE FUNCTION fixed.pool_outlives_tickets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM fixed.ticket_pools WHERE event_id = OLD.event_id)
       AND (EXISTS (SELECT FROM fixed.issued_tickets WHERE event_id = OLD.event_id)
            OR EXISTS (SELECT FROM fixed.ticket_allocations WHERE event_id = OLD.event_id))
    THEN
        RAISE EXCEPTION 'event % still has issued tickets', OLD.event_id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'pool_outlives_tickets';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER pool_outlives_tickets AFTER DELETE OR UPDATE OF event_id
    ON fixed.ticket_pools DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION fixed.pool_outlives_tickets();
CREATE TRIGGER pool_outlives_tickets_all BEFORE TRUNCATE
    ON fixed.ticket_pools EXECUTE FUNCTION fixed.refuse_change();

-- A new or renamed pool has no tickets, and no total is lowered below what is issued. Sales do not
-- change these columns, so they never fire this trigger.
CREATE FUNCTION fixed.pool_fits_tickets() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    room integer := 0;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.event_id = NEW.event_id THEN
        room := NEW.total;
    END IF;
    IF EXISTS (SELECT FROM fixed.issued_tickets
               WHERE event_id = NEW.event_id AND ticket_number > room)
       OR EXISTS (SELECT FROM fixed.ticket_allocations
                  WHERE event_id = NEW.event_id AND end_ticket > room)
    THEN
        RAISE EXCEPTION 'event % has issued tickets beyond %', NEW.event_id, room
        USING ERRCODE = 'check_violation', CONSTRAINT = 'pool_fits_tickets';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER pool_fits_tickets AFTER INSERT OR UPDATE OF event_id, total
    ON fixed.ticket_pools FOR EACH ROW EXECUTE FUNCTION fixed.pool_fits_tickets();
