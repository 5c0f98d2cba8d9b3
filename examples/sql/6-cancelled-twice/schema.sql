CREATE TABLE pools (id integer PRIMARY KEY, total integer, available integer);
CREATE TABLE bookings (id integer PRIMARY KEY, pool integer, quantity integer, status text);
INSERT INTO pools VALUES (1, 16, 8);
INSERT INTO bookings VALUES (1, 1, 8, 'active');
