BEGIN;
SELECT pg_advisory_lock(1);
SELECT count(*) = 0 AS free FROM reservations WHERE seat = 1 \gset
\if :free
    INSERT INTO reservations (seat, guest) VALUES (1, :'n');
\endif
SELECT pg_advisory_unlock(1);
COMMIT;
