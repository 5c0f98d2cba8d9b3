CREATE TABLE reservations (id serial PRIMARY KEY, seat integer UNIQUE, guest text);
