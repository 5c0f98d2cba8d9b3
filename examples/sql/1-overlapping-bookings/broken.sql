BEGIN;
SELECT count(*) = 0 AS free FROM bookings WHERE room = 1 AND starts < 12 AND ends > 10 \gset
\if :free
    INSERT INTO bookings (room, guest, starts, ends) VALUES (1, :'n', 10, 12);
\endif
COMMIT;
