BEGIN;
WITH done AS (
    UPDATE seats SET status = 'sold', guest = :'n' WHERE id = 1 AND status = 'free' RETURNING 1
) SELECT count(*) > 0 AS sold FROM done \gset
\if :sold
    INSERT INTO sales (seat, guest) VALUES (1, :'n');
\endif
COMMIT;
