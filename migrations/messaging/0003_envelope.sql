-- What a row says about its message, as JSON. Of a message of ours an object with what follows from
-- no other column: constants, the key again and the time in the id are added when it is published.
-- Of a dead letter, and in rows from before this change, the headers themselves: a list of [name,
-- value] pairs.
ALTER TABLE outbox RENAME COLUMN headers TO envelope;
