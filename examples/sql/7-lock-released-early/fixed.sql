BEGIN;
SELECT pg_advisory_xact_lock(1);
SELECT count(*) = 0 AS free FROM reservations WHERE seat = 1 \gset
\if :free
    INSERT INTO reservations (seat, guest) VALUES (1, :'n');
\endif
COMMIT;
