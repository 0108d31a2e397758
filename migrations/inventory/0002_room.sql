-- Room in each page for a new version of every reservation in it: a batch changes neighbours in one
-- transaction. An update that leaves its page costs an entry in every index.
ALTER TABLE reservation SET (fillfactor = 50);
