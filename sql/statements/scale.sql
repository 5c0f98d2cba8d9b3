-- name: reserve
-- A commit of so many purchases of 8.
SELECT {schema}.reserve(%(event)s, array_fill('buyer'::varchar, ARRAY[%(purchases)s::integer]),
                        array_fill(8, ARRAY[%(purchases)s::integer]))
