-- What customers ordered, and what became of it. Postgres is the truth: an order that was
-- acknowledged stands here, whatever happens to Kafka.
CREATE TABLE "order" (
    -- Version 7: sorts by time.
    id               uuid PRIMARY KEY,
    -- Chosen by the client: the same request twice is one order.
    request_id       text COLLATE "C" NOT NULL CONSTRAINT order_request_id_key UNIQUE,
    -- SHA-256 of what was asked for: the same request id with another content is refused.
    request_hash     bytea NOT NULL,
    -- pending and cancelling are the lock that others can see: nothing is decided yet.
    status           text NOT NULL DEFAULT 'pending' CONSTRAINT order_status_check
                     CHECK (status IN ('pending', 'cancelling', 'confirmed', 'cancelled')),
    customer_id      text COLLATE "C" NOT NULL,
    payment_method   text NOT NULL,
    currency         text NOT NULL,
    -- In the currency's minor unit.
    total_minor      bigint NOT NULL,
    -- [{"sku", "quantity", "unit_price_minor"}], as ordered and at the prices of that moment.
    lines            jsonb NOT NULL,
    -- Pieces over all lines.
    piece_count      bigint NOT NULL,
    -- Why the customer wants it cancelled, or why it was.
    reason           text NOT NULL DEFAULT '',
    -- The time in the id.
    placed_at        timestamptz NOT NULL,
    decided_at       timestamptz,
    CONSTRAINT order_decided_check
        CHECK ((decided_at IS NOT NULL) = (status IN ('confirmed', 'cancelled'))),
    CONSTRAINT order_total_check CHECK (total_minor >= 0 AND piece_count > 0)
) WITH (fillfactor = 80);

-- Orders of a customer, the newest first; orders without one are not in it.
CREATE INDEX order_customer_idx ON "order" (customer_id, id) WHERE customer_id <> '';
-- Orders that nobody has decided yet. As small as what is under way; and deciding an order touches
-- no index of the table above, so that its row stays in the page (HOT).
CREATE TABLE order_undecided (
    order_id         uuid PRIMARY KEY,
    -- When to tell again that it was placed.
    next_announce_at timestamptz NOT NULL,
    -- How often it was told again: the pause doubles each time.
    announce_count   integer NOT NULL DEFAULT 0
) WITH (fillfactor = 80);

-- What can be ordered and at what price, as the inventory has told. Prices of orders come from here
-- and never from the client.
CREATE TABLE catalog (
    sku         text COLLATE "C" PRIMARY KEY,
    name        text NOT NULL,
    price_minor bigint NOT NULL,
    currency    text NOT NULL,
    -- Of the item in the inventory: what is older does not count.
    revision    bigint NOT NULL,
    CONSTRAINT catalog_sku_check CHECK (length(sku) BETWEEN 1 AND 64),
    CONSTRAINT catalog_price_check CHECK (price_minor >= 0),
    CONSTRAINT catalog_currency_check CHECK (currency ~ '^[A-Z]{3}$')
) WITH (fillfactor = 80);
