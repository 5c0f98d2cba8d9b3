CREATE TABLE events (id integer PRIMARY KEY, most integer, touched integer DEFAULT 0);
CREATE TABLE bookings (id serial PRIMARY KEY, event integer, guest text);
INSERT INTO events VALUES (1, 1);
