-- Sell to all purchases of an event that wait at the same time, in order of arrival. The pool row
-- is locked first, so a rival that waits for it judges by what was committed. A purchase that
-- cannot be sold is refused alone; the others are sold. A key in p_keys is stored with the tickets;
-- a key that is stored already is refused as 'key_used', before any other reason.
-- first_tickets has the first number of each purchase, or NULL. refusals is NULL when nothing was
-- refused; otherwise it has a reason where first_tickets has NULL. With p_wait false, a row that
-- another transaction has locked is not waited for: every reason is then 'busy', and nothing is
-- written.
-- The event comes first and the body is plpgsql, so that an engine that spreads events over
-- machines can delegate the whole call to the machine of the event.
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
