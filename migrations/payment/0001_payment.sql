-- Payments: one for each order.

-- What is held or taken for an order. The status is in no index, and `next_try_at` stays empty for
-- payments that need no call of the gateway: so the usual payment is inserted once and updated once,
-- within its page.
CREATE TABLE payment (
    order_id      uuid        PRIMARY KEY,
    status        text        NOT NULL,
    amount_minor  bigint      NOT NULL,
    currency      text        NOT NULL,
    -- Token of the payment method, as the gateway knows it.
    method        text        NOT NULL,
    -- The gateway's own number for it; empty as long as it gave none.
    authorization_number text NOT NULL DEFAULT '',
    -- Why it was declined.
    reason        text        NOT NULL DEFAULT '',
    -- Calls of the gateway so far.
    try_count     int         NOT NULL DEFAULT 0,
    -- When the gateway is to be called (again). Which call follows from the status: pending is to
    -- be authorized, authorized to be captured, voided and declined to be voided there.
    -- While a call is under way this is when it is given up for lost.
    next_try_at   timestamptz,
    asked_at      timestamptz NOT NULL DEFAULT now(),
    -- When the status last changed.
    moved_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payment_status_known
        CHECK (status IN ('pending', 'authorized', 'declined', 'captured', 'voided')),
    CONSTRAINT payment_amount_positive CHECK (amount_minor > 0)
) WITH (fillfactor = 70);

-- Which calls are due.
CREATE INDEX payment_due ON payment (next_try_at) WHERE next_try_at IS NOT NULL;
