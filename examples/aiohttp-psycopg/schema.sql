CREATE TABLE ticket_pools (
    event_id  varchar(50) PRIMARY KEY,
    total     integer NOT NULL,
    available integer NOT NULL
);
CREATE TABLE issued_tickets (
    id            serial PRIMARY KEY,
    event_id      varchar(50),
    user_id       varchar(50),
    ticket_number integer
);
INSERT INTO ticket_pools VALUES ('E1', 8, 8);
