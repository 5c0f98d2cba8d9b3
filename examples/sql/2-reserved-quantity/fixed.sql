BEGIN;
WITH done AS (
    UPDATE products SET reserved = reserved + 1 WHERE id = 1 AND stock > reserved RETURNING 1
) SELECT count(*) > 0 AS enough FROM done \gset
\if :enough
    INSERT INTO orders (product, customer) VALUES (1, :'n');
\endif
COMMIT;
