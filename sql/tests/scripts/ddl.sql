-- Tables made, emptied, changed and dropped.
CREATE TABLE t (a int, b text, c numeric(6,2), d boolean, e bigint, f smallint, g double precision);
CREATE TABLE t (a int);
CREATE TABLE IF NOT EXISTS t (a int);
INSERT INTO t VALUES (1, 'one', 1.5, true, 10000000000, 3, 2.5);
SELECT * FROM t;
CREATE TABLE u (a int, a text);
CREATE TABLE u (a nosuchtype);
CREATE TABLE u (a int, CHECK (b > 0));
CREATE TABLE u (a int PRIMARY KEY, b int PRIMARY KEY);
CREATE TABLE u (a int DEFAULT 'x');
CREATE TABLE u (a int DEFAULT b);
CREATE TABLE u (a int DEFAULT 7, b text DEFAULT 'seven', c int DEFAULT 3 + 4);
INSERT INTO u DEFAULT VALUES;
INSERT INTO u (b) VALUES ('given');
INSERT INTO u VALUES (DEFAULT, DEFAULT, 1);
SELECT * FROM u ORDER BY b, c;
-- Names.
CREATE TABLE "Quoted Name" ("A b" int, "select" int, UPPER int);
INSERT INTO "Quoted Name" VALUES (1, 2, 3);
SELECT "A b", "select", upper, UPPER FROM "Quoted Name";
SELECT * FROM "quoted name";
SELECT q.* FROM public."Quoted Name" AS q;
SELECT * FROM nosuchschema.t;
DROP TABLE "Quoted Name";
-- Made of a query.
CREATE TABLE made AS SELECT a, b AS name, a + 1 AS next FROM u;
SELECT * FROM made ORDER BY name, next;
CREATE TABLE made AS SELECT 1;
CREATE TABLE made2 AS VALUES (1, 'x'), (2, 'y');
SELECT * FROM made2 ORDER BY 1;
-- Emptied.
INSERT INTO t SELECT * FROM t;
TRUNCATE t;
SELECT count(*) FROM t;
TRUNCATE TABLE t, u;
SELECT count(*) FROM u;
TRUNCATE nosuchtable;
INSERT INTO t VALUES (1);
BEGIN;
TRUNCATE t;
SELECT count(*) FROM t;
ROLLBACK;
SELECT count(*) FROM t;
-- Changed.
ALTER TABLE t ADD COLUMN h int DEFAULT 42;
ALTER TABLE t ADD COLUMN i text DEFAULT NULL;
ALTER TABLE t ADD COLUMN a int;
ALTER TABLE t ADD h int;
SELECT a, h, i FROM t;
ALTER TABLE nosuchtable ADD COLUMN a int;
ALTER TABLE t ADD CONSTRAINT positive CHECK (a > 0);
INSERT INTO t VALUES (-1);
ALTER TABLE t ADD CONSTRAINT large CHECK (a > 100);
ALTER TABLE t ADD PRIMARY KEY (a);
INSERT INTO t VALUES (1);
ALTER TABLE t ADD PRIMARY KEY (b);
ALTER TABLE u ADD UNIQUE (a);
-- Indexes.
CREATE INDEX ON t (b);
CREATE INDEX t_c ON t (c);
CREATE UNIQUE INDEX u_b ON u (b);
INSERT INTO u VALUES (1, 'b'), (2, 'b');
CREATE INDEX ON t (nosuchcolumn);
CREATE INDEX ON nosuchtable (a);
-- Dropped.
DROP TABLE nosuchtable;
DROP TABLE IF EXISTS nosuchtable;
DROP TABLE t, nosuchtable;
SELECT count(*) FROM t;
DROP TABLE t, u, made, made2;
SELECT * FROM t;
BEGIN;
CREATE TABLE v (a int);
INSERT INTO v VALUES (1);
SELECT * FROM v;
ROLLBACK;
SELECT * FROM v;
BEGIN;
CREATE TABLE v (a int);
COMMIT;
BEGIN;
DROP TABLE v;
SELECT * FROM v;
ROLLBACK;
SELECT * FROM v;
DROP TABLE v;
-- One that another refers to.
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (parent_id int REFERENCES parent);
DROP TABLE parent;
DROP TABLE parent, child;
-- DROP with CASCADE.
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (parent_id int REFERENCES parent);
DROP TABLE parent CASCADE;
INSERT INTO child VALUES (5);
SELECT * FROM child;
DROP TABLE child;
