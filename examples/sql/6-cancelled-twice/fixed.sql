BEGIN;
WITH done AS (
    UPDATE bookings SET status = 'cancelled' WHERE id = 1 AND status = 'active' RETURNING 1
) SELECT count(*) > 0 AS cancelled FROM done \gset
\if :cancelled
    UPDATE pools SET available = available + 8 WHERE id = 1;
\endif
COMMIT;
