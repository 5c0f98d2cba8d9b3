BEGIN;
WITH allowed AS (
    UPDATE events SET touched = touched + 1
    WHERE id = 1 AND most > (SELECT count(*) FROM bookings WHERE event = 1) RETURNING id
)
INSERT INTO bookings (event, guest) SELECT id, :'n' FROM allowed;
COMMIT;
