-- Room in each page for a new version of every order in it: a batch decides neighbours in one
-- transaction. An update that leaves its page costs an entry in every index.
ALTER TABLE "order" SET (fillfactor = 55);
