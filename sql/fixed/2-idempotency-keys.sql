-- One row per sold purchase that had a key, written in the transaction that sells. A repeated
-- request is answered from this row. A refused purchase has no row.
CREATE TABLE fixed.idempotency_keys (
    key          varchar(128) NOT NULL,
    event_id     varchar(50) NOT NULL,
    user_id      varchar(50) NOT NULL,
    quantity     integer NOT NULL,
    first_ticket integer NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- One purchase per key, whatever its event: the second is rolled back with its tickets.
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key)
);
COMMENT ON TABLE fixed.idempotency_keys IS 'The answer to each purchase that came with a key';

-- Which of many keys are used, whatever their event, and what was sold under one key. Both use the
-- index even when the plan is made while the table is small and is then kept while it grows.
CREATE FUNCTION fixed.keys_used(p_event varchar, p_keys varchar[])
RETURNS varchar[] LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    RETURN ARRAY(SELECT key FROM fixed.idempotency_keys WHERE key = ANY (p_keys));
END $$;

CREATE FUNCTION fixed.sold_under(p_key varchar)
RETURNS SETOF fixed.idempotency_keys LANGUAGE plpgsql STABLE SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY SELECT * FROM fixed.idempotency_keys WHERE key = p_key;
END $$;

-- Remove keys that are more than a day old. The service may call this and may not delete, so it
-- cannot remove a younger key.
CREATE FUNCTION fixed.forget_old_keys() RETURNS bigint LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog AS $$
    WITH forgotten AS (
        DELETE FROM fixed.idempotency_keys
        WHERE key IN (SELECT key FROM fixed.idempotency_keys
                      WHERE created_at < now() - interval '24 hours'
                      LIMIT 10000 FOR UPDATE SKIP LOCKED)
        RETURNING 1
    )
    SELECT count(*) FROM forgotten
$$;
REVOKE EXECUTE ON FUNCTION fixed.forget_old_keys FROM PUBLIC;
