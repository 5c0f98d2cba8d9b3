-- Let the database refuse the next duplicate and oversell. Sales go on. Run it again as you like.
--
--   psql "$DATABASE_URL" -v schema=original -f sql/repair/4-guard.sql
--
-- The index is built beside the sales. A new constraint that is NOT VALID holds for new rows at
-- once and needs its table for a moment only; VALIDATE then reads the old rows without stopping
-- a sale. A script that cannot get its table within a fifth of a second waits and tries again, so
-- that no queue of purchases forms behind it.
\set ON_ERROR_STOP on
SET search_path = :"schema";

-- What an interrupted build left.
SELECT format('DROP INDEX CONCURRENTLY %I.issued_tickets_once', :'schema')
FROM pg_index
WHERE indexrelid = to_regclass('issued_tickets_once') AND NOT indisvalid
\gexec
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS issued_tickets_once
    ON issued_tickets (event_id, ticket_number);

CREATE PROCEDURE pg_temp.add_constraint(tbl regclass, name text, rule text)
LANGUAGE plpgsql SET lock_timeout = '200ms' AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_constraint WHERE conrelid = tbl AND conname = name) THEN
        RETURN;
    END IF;
    FOR attempt IN 1..100 LOOP
        BEGIN
            EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s NOT VALID', tbl, name, rule);
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.1);
        END;
    END LOOP;
    RAISE EXCEPTION '% is in use: % was not added', tbl, name;
END $$;
CALL pg_temp.add_constraint('ticket_pools', 'available_in_range',
                            'CHECK (available BETWEEN 0 AND total)');
CALL pg_temp.add_constraint('issued_tickets', 'number_from_one', 'CHECK (ticket_number >= 1)');
CALL pg_temp.add_constraint('issued_tickets', 'of_an_event',
                            'FOREIGN KEY (event_id) REFERENCES ticket_pools');
ALTER TABLE ticket_pools VALIDATE CONSTRAINT available_in_range;
ALTER TABLE issued_tickets VALIDATE CONSTRAINT number_from_one;
ALTER TABLE issued_tickets VALIDATE CONSTRAINT of_an_event;

SELECT conrelid::regclass AS on_table, conname AS guard, convalidated AS valid
FROM pg_constraint
WHERE conrelid IN ('ticket_pools'::regclass, 'issued_tickets'::regclass) AND contype IN ('c', 'f')
UNION ALL
SELECT indrelid::regclass, indexrelid::regclass::text, indisvalid
FROM pg_index WHERE indexrelid = 'issued_tickets_once'::regclass
ORDER BY on_table, guard;
