-- Answers that reached a process which does not know the saga's version, as JSON, one a line: one that
-- knows it hears them when it next looks at the saga, which is at once.
ALTER TABLE saga ADD COLUMN answers_left text;
