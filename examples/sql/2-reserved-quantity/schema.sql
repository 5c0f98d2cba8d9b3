CREATE TABLE products (id integer PRIMARY KEY, stock integer, reserved integer);
CREATE TABLE orders (id serial PRIMARY KEY, product integer, customer text);
INSERT INTO products VALUES (1, 10, 0);
