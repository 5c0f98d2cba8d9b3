-- Carry out the plan, a thousand tickets at a time. Interrupt it and run it again as you like.
--
--   psql "$DATABASE_URL" -v schema=original -f sql/repair/3-apply.sql
--
-- It locks no pool: sales go on. A refunded ticket leaves issued_tickets; its holder, number and
-- time stay in ticket_repairs.
SET search_path = :"schema";

DO $$
DECLARE
    worked bigint;
BEGIN
    LOOP
        WITH batch AS (
            SELECT * FROM ticket_repairs WHERE done_at IS NULL LIMIT 1000 FOR UPDATE
        ), renumbered AS (
            UPDATE issued_tickets SET ticket_number = new_number
            FROM batch WHERE id = ticket_id AND action = 'renumber'
        ), refunded AS (
            DELETE FROM issued_tickets USING batch WHERE id = ticket_id AND action = 'refund'
        )
        UPDATE ticket_repairs SET done_at = now()
        FROM batch WHERE ticket_repairs.ticket_id = batch.ticket_id;
        GET DIAGNOSTICS worked = ROW_COUNT;
        EXIT WHEN worked = 0;
        COMMIT;
    END LOOP;
END $$;

SELECT action, count(*) AS tickets, count(DISTINCT user_id) AS holders
FROM ticket_repairs WHERE done_at IS NOT NULL GROUP BY action ORDER BY action;
