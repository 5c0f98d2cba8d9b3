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
