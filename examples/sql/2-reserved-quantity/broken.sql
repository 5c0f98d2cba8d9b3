SELECT reserved, stock > reserved AS enough FROM products WHERE id = 1 \gset
\if :enough
    INSERT INTO orders (product, customer) VALUES (1, :'n');
    UPDATE products SET reserved = :reserved + 1 WHERE id = 1;
\endif
