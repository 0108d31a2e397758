-- The catalogue and the stock.

-- What can be ordered, and how many pieces there are of it. Every reservation changes its items'
-- rows, so they have room for it on their page, and no index names what changes.
CREATE TABLE item (
    sku         text   PRIMARY KEY,
    name        text   NOT NULL,
    price_minor bigint NOT NULL,
    currency    text   NOT NULL,
    -- Grows with every change of name or price; it is published with them.
    revision    bigint NOT NULL DEFAULT 1,
    -- Pieces: can be promised, set aside for orders, left the house, and ever brought in.
    available   bigint NOT NULL DEFAULT 0,
    reserved    bigint NOT NULL DEFAULT 0,
    committed   bigint NOT NULL DEFAULT 0,
    stocked     bigint NOT NULL DEFAULT 0,
    CONSTRAINT item_price_positive CHECK (price_minor > 0),
    CONSTRAINT item_available_not_negative CHECK (available >= 0),
    CONSTRAINT item_reserved_not_negative CHECK (reserved >= 0),
    CONSTRAINT item_committed_not_negative CHECK (committed >= 0),
    CONSTRAINT item_books_balance CHECK (available + reserved + committed = stocked)
) WITH (fillfactor = 70);

-- What is set aside for an order, or was. The status is in no index: it changes once for every
-- order, and what asks for it by status (the check of the books) reads the whole table anyway.
CREATE TABLE reservation (
    order_id    uuid        PRIMARY KEY,
    status      text        NOT NULL,
    -- [{"sku": …, "quantity": …}], each SKU once.
    lines       jsonb       NOT NULL,
    reserved_at timestamptz NOT NULL DEFAULT now(),
    -- When the status last changed.
    moved_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT reservation_status_known CHECK (status IN ('reserved', 'released', 'committed'))
) WITH (fillfactor = 70);

-- Every arrival of more pieces, by the request that told of it: the same request again is known.
CREATE TABLE restock (
    request_id text        PRIMARY KEY,
    sku        text        NOT NULL REFERENCES item (sku),
    quantity   bigint      NOT NULL,
    at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT restock_quantity_positive CHECK (quantity > 0)
);
