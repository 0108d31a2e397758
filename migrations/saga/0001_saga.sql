-- Sagas: where each one stands, its journal, and what operators did.

-- What is registered, for consoles. The code is the truth; this row is its picture.
CREATE TABLE saga_definition (
    name          text        NOT NULL,
    version       text        NOT NULL,
    definition    jsonb       NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
);

-- One row for each saga, written over by every transition. No column that changes on a good day is
-- indexed, so those updates stay in the page (HOT); only what goes wrong pays for being searchable.
CREATE TABLE saga (
    id           uuid        PRIMARY KEY,   -- version 7: sorts by age
    definition   text        NOT NULL,
    version      text        NOT NULL,
    key          text        NOT NULL,      -- business key: the record key of the event that began it
    revision     bigint      NOT NULL,      -- written only over the revision it was read at
    -- What decisions read, as JSON; all below are copies for lists. As text, because who writes knows
    -- what is JSON: checking it again at every step costs as much as the update.
    instance     text        NOT NULL,
    status       text        NOT NULL,
    waits_for    text        NOT NULL,      -- outstanding steps, separated by commas
    cause_step   text,                      -- why it goes back, or went
    cause        text,
    stuck_step   text,                      -- why a person has to look
    stuck_reason text,
    -- Deadlines and re-sending: what is due when, as JSON. Read when `wake_at` has come.
    clock        text        NOT NULL,
    -- Not later than the first thing that is due. It is moved only when it is wrong, so that the
    -- transitions of a good day do not touch the index: who wakes too early sets it anew.
    wake_at      timestamptz NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now(),
    moved_at     timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz,
    -- An event that comes again, past every inbox, does not begin a second one.
    CONSTRAINT saga_once UNIQUE (key, definition)
) WITH (fillfactor = 60);

-- What is under way, by when to look at it next.
CREATE INDEX saga_wake ON saga (wake_at) WHERE ended_at IS NULL;
-- What went wrong, the newest first.
CREATE INDEX saga_stuck ON saga (id) WHERE stuck_step IS NOT NULL;
CREATE INDEX saga_cause ON saga (id) WHERE cause IS NOT NULL;

-- What happened, in order, and never changed. Replaying it gives the instance again.
CREATE TABLE saga_journal (
    saga_id     uuid        NOT NULL,
    revision    bigint      NOT NULL,
    happened_at timestamptz NOT NULL DEFAULT now(),
    happened    text        NOT NULL,       -- started, answered, timed-out, parked, intervened
    step        text,
    direction   text,
    attempt     int,
    outcome     text,                       -- succeeded, refused
    payload     bytea,                      -- the event, or the reply
    verb        text,
    actor       text,
    reason      text,                       -- of a refusal, of a parking, of an operator
    sent        text        NOT NULL,       -- the attempts it led to, separated by commas
    stopwatch   text,                       -- of whoever answered
    PRIMARY KEY (saga_id, revision)
);

-- What operators asked for, by their request's id: the same request twice is done once.
CREATE TABLE saga_intervention (
    request_id text        PRIMARY KEY,
    saga_id    uuid        NOT NULL,
    asked      text        NOT NULL,        -- the verb, with its step and reply
    asked_at   timestamptz NOT NULL DEFAULT now()
);
