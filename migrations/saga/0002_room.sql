-- Room in each page for a new version of every saga in it, and for the second one of some: a batch
-- changes neighbours in one transaction, and what it replaces cannot be reused before its end. An
-- update that leaves its page costs an entry in every index. A saga's last one leaves it all the same:
-- `saga_wake` is only of what has not ended.
ALTER TABLE saga SET (fillfactor = 45);
