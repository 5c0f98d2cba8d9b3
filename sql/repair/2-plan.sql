-- Decide who keeps a number, who gets another one, and who is refunded. No ticket changes yet.
--
--   psql "$DATABASE_URL" -v schema=original -f sql/repair/2-plan.sql
--
-- Run it when the old code has stopped: what that damages later is not in the plan. The new code
-- goes on selling. First the pool of a damaged event is made to agree with its tickets, so that
-- new tickets get numbers above those that the plan gives. Run again, it plans anew what is not
-- carried out.
--
-- The rule: tickets are served in the order in which they were issued. The first `total` of them
-- stay and have the numbers 1 to their count in the end. The first holder of such a number keeps
-- it, all others get a free one. Tickets beyond the total, or of no event, are refunded.
SET search_path = :"schema";

CREATE TABLE IF NOT EXISTS ticket_repairs (
    ticket_id  bigint PRIMARY KEY,
    event_id   varchar(50) NOT NULL,
    user_id    varchar(50) NOT NULL,
    issued_at  timestamp,
    old_number integer NOT NULL,
    action     text NOT NULL CHECK (action IN ('keep', 'renumber', 'refund')),
    new_number integer CHECK ((new_number IS NULL) = (action = 'refund')),
    done_at    timestamptz
);
COMMENT ON TABLE ticket_repairs IS 'Every holder of a damaged ticket, and what is done: for support';

DO $$
DECLARE
    damaged text;
BEGIN
    FOR damaged IN
        SELECT event_id FROM ticket_pools FULL JOIN issued_tickets USING (event_id)
        GROUP BY event_id
        HAVING count(ticket_number) > count(DISTINCT ticket_number)
            OR min(ticket_number) < 1
            OR max(ticket_number) > coalesce(min(total), 0)
            OR min(available) <> min(total) - count(ticket_number)
    LOOP
        PERFORM FROM ticket_pools WHERE event_id = damaged FOR UPDATE;
        UPDATE ticket_pools
        SET available = total - least(total, (SELECT count(*) FROM issued_tickets
                                              WHERE event_id = damaged))
        WHERE event_id = damaged;
        COMMIT;

        DELETE FROM ticket_repairs WHERE event_id = damaged AND done_at IS NULL;
        WITH tickets AS (
            SELECT id, user_id, created_at, ticket_number, served, coalesce(total, 0) AS total,
                   row_number() OVER (PARTITION BY ticket_number ORDER BY served) AS holder,
                   count(*) OVER (PARTITION BY ticket_number) AS holders,
                   least(count(*) OVER (), coalesce(total, 0)) AS last_number
            FROM (SELECT *, row_number() OVER (ORDER BY id) AS served
                  FROM issued_tickets WHERE event_id = damaged) AS issued
            LEFT JOIN ticket_pools USING (event_id)
        ), decided AS (
            SELECT *, CASE WHEN served > total THEN 'refund'
                           WHEN holder = 1 AND ticket_number BETWEEN 1 AND last_number THEN 'keep'
                           ELSE 'renumber' END AS action
            FROM tickets
        ), free AS (
            SELECT number, row_number() OVER (ORDER BY number) AS place
            FROM generate_series(1, (SELECT max(last_number) FROM tickets)) AS number
            WHERE NOT EXISTS (SELECT FROM decided WHERE action = 'keep' AND ticket_number = number)
        ), moved AS (
            SELECT id, row_number() OVER (ORDER BY served) AS place
            FROM decided WHERE action = 'renumber'
        )
        INSERT INTO ticket_repairs
        SELECT id, damaged, user_id, created_at, ticket_number, action,
               CASE action WHEN 'keep' THEN ticket_number ELSE number END
        FROM decided LEFT JOIN moved USING (id) LEFT JOIN free USING (place)
        WHERE action <> 'keep' OR holders > 1
        ON CONFLICT (ticket_id) DO UPDATE
            SET action = excluded.action, new_number = excluded.new_number, done_at = NULL;
        COMMIT;
    END LOOP;
END $$;

SELECT event_id, action, count(*) AS tickets, count(DISTINCT user_id) AS holders
FROM ticket_repairs WHERE done_at IS NULL
GROUP BY event_id, action ORDER BY event_id, action;
