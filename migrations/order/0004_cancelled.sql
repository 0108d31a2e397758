-- Cancelled orders are few, and are found without reading the others. By a column of their own: an
-- index that names the status would cost every decision an entry in each index (no HOT), while this
-- value stays the same when an order is confirmed.
ALTER TABLE "order"
    ADD COLUMN cancelled boolean NOT NULL GENERATED ALWAYS AS (status = 'cancelled') STORED;
CREATE INDEX order_cancelled_idx ON "order" (id) WHERE cancelled;
