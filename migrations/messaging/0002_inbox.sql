-- The inbox: what was handled, kept in the same transaction as its effect.

-- The barrier: one row for each step that a saga asked of this participant, with the answer it
-- gave. By the saga's id, a UUID of version 7, that is by the time the saga began.
CREATE TABLE inbox_command (
    saga_id    uuid        NOT NULL,
    step       text        NOT NULL,
    -- deferred, succeeded, refused, undo-deferred, undo-refused or undone.
    stands     text        NOT NULL,
    -- The attempt that the answer was given to.
    attempt    int         NOT NULL,
    -- The reply's full name and bytes, or the reason of the refusal.
    reply      text,
    payload    bytea,
    reason     text,
    -- Business key and full name of the command, by which a deferred answer finds its step.
    key        text        NOT NULL,
    command    text        NOT NULL,
    -- Where a deferred answer goes: the saga's definition, and invoke or compensate.
    definition text        NOT NULL,
    direction  text        NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (saga_id, step)
) PARTITION BY RANGE (saga_id);
CREATE TABLE inbox_command_default PARTITION OF inbox_command DEFAULT;
CREATE INDEX inbox_command_deferred ON inbox_command (key, command)
    WHERE stands IN ('deferred', 'undo-deferred');

-- Events, by the id of their message.
CREATE TABLE inbox_event (
    consumer   text        NOT NULL,
    message_id uuid        NOT NULL,
    PRIMARY KEY (consumer, message_id)
) PARTITION BY RANGE (message_id);
CREATE TABLE inbox_event_default PARTITION OF inbox_event DEFAULT;

-- Messages that made their handler fail on their own. Who fails too often goes to the dead letters.
CREATE TABLE inbox_culprit (
    topic         text   NOT NULL,
    record_part   int    NOT NULL,
    record_offset bigint NOT NULL,
    failure_count int    NOT NULL,
    reason        text   NOT NULL,
    failed_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, record_part, record_offset)
);
