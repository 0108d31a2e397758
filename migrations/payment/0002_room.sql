-- Room in each page for a new version of every payment in it: a batch changes neighbours in one
-- transaction. An update that leaves its page costs an entry in every index.
ALTER TABLE payment SET (fillfactor = 50);
