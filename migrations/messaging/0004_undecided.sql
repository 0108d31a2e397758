-- What was announced and is not decided yet: events that others act upon, such as those that begin
-- sagas. Kept until whoever announced them knows the end, and announced again until then: the topic
-- may be lost with all that was in it. As small as what is under way.
CREATE TABLE outbox_undecided (
    -- Announced again once it has waited for so long. Who was announced again waits from a later
    -- time on, so that the pause doubles.
    waiting_since  timestamptz NOT NULL DEFAULT now(),
    -- How often it was announced again.
    announce_count integer     NOT NULL DEFAULT 0,
    -- The event's full name.
    kind           text        COLLATE "C" NOT NULL,
    -- The business key. Of two events of a kind with one key the first one counts, as it does for
    -- the saga.
    key            text        COLLATE "C" NOT NULL,
    topic          text        NOT NULL,
    payload        bytea       NOT NULL,
    PRIMARY KEY (kind, key)
);

-- What is due is found without reading all that is under way. All of one transaction have the same
-- time, and share an entry.
CREATE INDEX outbox_undecided_waiting_since_idx ON outbox_undecided (waiting_since);
