-- The outbox: what a transaction has to say, kept in the same transaction.

-- A lane is one ordered stream of outbox rows. It has one owner at a time, who counts its rows and
-- marks what the broker has acknowledged, with one write for each batch.
CREATE TABLE outbox_lane (
    lane          text   PRIMARY KEY,
    -- Grows with every new owner: an earlier one finds it changed, and stops.
    epoch         bigint NOT NULL DEFAULT 1,
    -- The last row that was written, and the last one up to which all are published.
    last_seq      bigint NOT NULL DEFAULT 0,
    published_seq bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Append-only. In the normal case nobody reads it: who committed publishes from memory. By time, so
-- that old rows go by dropping whole partitions; the default one only catches what came too early.
CREATE TABLE outbox (
    lane       text        NOT NULL,
    seq        bigint      NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    topic      text        NOT NULL,
    key        bytea       NOT NULL,
    -- Of the record, in order: [name, value] pairs as JSON. As text, because who writes knows what
    -- is JSON: checking it again costs more than the rest of the row.
    headers    text        NOT NULL,
    payload    bytea       NOT NULL,
    PRIMARY KEY (lane, seq, written_at)
) PARTITION BY RANGE (written_at);
CREATE TABLE outbox_default PARTITION OF outbox DEFAULT;
