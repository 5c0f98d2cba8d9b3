CREATE TABLE reservations (id serial PRIMARY KEY, seat integer, guest text);
