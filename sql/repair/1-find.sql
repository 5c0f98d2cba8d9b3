-- Find the damage. Reads only, in one statement: one row per damaged event.
--
--   psql "$DATABASE_URL" -v schema=original -f sql/repair/1-find.sql
--
-- issued        ticket rows, whatever their numbers
-- oversold      rows beyond the total
-- duplicates    rows whose number an earlier row has
-- out_of_range  rows whose number is below 1 or above the total
-- drift         what the pool says is available, less what its rows leave
SET search_path = :"schema";

SELECT event_id, total, available, issued, duplicates, out_of_range,
       greatest(issued - coalesce(total, 0), 0) AS oversold,
       available - (total - issued) AS drift
FROM (
    SELECT event_id, count(ticket_number) AS issued,
           count(ticket_number) - count(DISTINCT ticket_number) AS duplicates,
           count(*) FILTER (WHERE ticket_number NOT BETWEEN 1 AND coalesce(total, 0)) AS out_of_range,
           min(total) AS total, min(available) AS available
    FROM ticket_pools FULL JOIN issued_tickets USING (event_id)
    GROUP BY event_id
) AS events
WHERE duplicates > 0 OR out_of_range > 0 OR total IS NULL OR available <> total - issued
ORDER BY event_id;
