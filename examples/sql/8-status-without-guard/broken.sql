BEGIN;
UPDATE seats SET status = 'sold', guest = :'n' WHERE id = 1;
INSERT INTO sales (seat, guest) VALUES (1, :'n');
COMMIT;
