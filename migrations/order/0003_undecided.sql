-- Orders that nobody has decided lie in outbox_undecided now, beside the outbox: its migrations run
-- before these. Each goes there as its event, which is told again as it stands there: OrderPlaced,
-- in protobuf's encoding.
CREATE FUNCTION pg_temp.varint(value bigint) RETURNS bytea LANGUAGE sql AS $$
    -- Seven bits a byte, the lowest first; the eighth says that more follow.
    SELECT string_agg(
        set_byte('\x00', 0,
            ((value >> shift) & 127)::integer | CASE WHEN (value >> shift) > 127 THEN 128 ELSE 0 END),
        ''::bytea ORDER BY shift)
    FROM generate_series(0, 56, 7) AS shift
    WHERE shift = 0 OR (value >> shift) > 0
$$;
CREATE FUNCTION pg_temp.field(number bigint, value bytea) RETURNS bytea LANGUAGE sql AS $$
    SELECT pg_temp.varint((number << 3) | 2) || pg_temp.varint(length(value)) || value
$$;
-- What is empty or zero is not written.
CREATE FUNCTION pg_temp.field(number bigint, value text) RETURNS bytea LANGUAGE sql AS $$
    SELECT CASE value WHEN '' THEN ''::bytea
        ELSE pg_temp.field(number, convert_to(value, 'UTF8')) END
$$;
CREATE FUNCTION pg_temp.field(number bigint, value bigint) RETURNS bytea LANGUAGE sql AS $$
    SELECT CASE value WHEN 0 THEN ''::bytea
        ELSE pg_temp.varint(number << 3) || pg_temp.varint(value) END
$$;

INSERT INTO outbox_undecided (kind, key, topic, payload)
SELECT 'shop.order.v1.OrderPlaced', o.id::text, 'order.events.v1',
    pg_temp.field(1, o.id::text)
    || coalesce((
        SELECT string_agg(
            pg_temp.field(2, pg_temp.field(1, line ->> 'sku')
                || pg_temp.field(2, (line ->> 'quantity')::bigint)),
            ''::bytea ORDER BY n)
        FROM jsonb_array_elements(o.lines) WITH ORDINALITY AS ordered (line, n)
    ), ''::bytea)
    || pg_temp.field(3, pg_temp.field(1, o.total_minor) || pg_temp.field(2, o.currency))
    || pg_temp.field(4, o.payment_method)
    || pg_temp.field(5, o.customer_id)
FROM order_undecided AS undecided JOIN "order" AS o ON o.id = undecided.order_id;

DROP TABLE order_undecided;
DROP FUNCTION pg_temp.field(bigint, bigint), pg_temp.field(bigint, text),
    pg_temp.field(bigint, bytea), pg_temp.varint(bigint);
