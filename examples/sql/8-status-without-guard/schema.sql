CREATE TABLE seats (id integer PRIMARY KEY, status text, guest text);
CREATE TABLE sales (id serial PRIMARY KEY, seat integer, guest text);
INSERT INTO seats VALUES (1, 'free', NULL);
