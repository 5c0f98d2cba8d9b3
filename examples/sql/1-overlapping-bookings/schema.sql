CREATE TABLE rooms (id integer PRIMARY KEY);
CREATE TABLE bookings (
    id     serial PRIMARY KEY,
    room   integer REFERENCES rooms,
    guest  text,
    starts integer,
    ends   integer
);
INSERT INTO rooms VALUES (1);
