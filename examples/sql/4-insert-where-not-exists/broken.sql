INSERT INTO reservations (seat, guest)
SELECT 1, :'n' WHERE NOT EXISTS (SELECT FROM reservations WHERE seat = 1);
