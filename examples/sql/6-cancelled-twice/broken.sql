BEGIN;
UPDATE bookings SET status = 'cancelled' WHERE id = 1;
UPDATE pools SET available = available + 8 WHERE id = 1;
COMMIT;
