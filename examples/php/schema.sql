CREATE TABLE pools (id integer PRIMARY KEY, available integer NOT NULL);
CREATE TABLE tickets (id serial PRIMARY KEY, pool integer, buyer text);
INSERT INTO pools VALUES (1, 1);
