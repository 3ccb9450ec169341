-- What `old.000001` and `old.000002` were recorded from: every way in which MySQL before 8.0 frames a transaction, and what it writes of
-- those that it rolls back. MySQL 5.6 without GTIDs. `record.sh` beside this file records it again.
SET NAMES latin1, time_zone = '+00:00', timestamp = 1700000000, binlog_format = MIXED;
CREATE DATABASE golden CHARACTER SET latin1;
CREATE DATABASE other;
USE golden;
CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(10));
CREATE TABLE s (id INT PRIMARY KEY);
CREATE TABLE m (id INT PRIMARY KEY) ENGINE = MyISAM;
CREATE TABLE other.u (id INT PRIMARY KEY);

-- Several rows events, some of a table that is not captured. Rows are written as rows where a statement says too little.
SET binlog_format = ROW;
BEGIN;
INSERT INTO t VALUES (1, 'a');
INSERT INTO other.u VALUES (1);
INSERT INTO t VALUES (2, 'b'), (3, 'c');
UPDATE t SET v = 'x' WHERE id < 3;
COMMIT;
BEGIN;
INSERT INTO other.u VALUES (2);
INSERT INTO other.u VALUES (3);
COMMIT;
INSERT INTO m VALUES (1), (2);

-- Rolled back, and written down with it.
BEGIN;
INSERT INTO t VALUES (10, 'lost');
INSERT INTO other.u VALUES (10);
INSERT INTO t VALUES (11, 'lost');
CREATE TEMPORARY TABLE gone (a INT);
DROP TEMPORARY TABLE gone;
INSERT INTO t VALUES (12, 'lost');
ROLLBACK;
INSERT INTO t VALUES (13, 'd');
BEGIN;
INSERT INTO other.u VALUES (11);
CREATE TEMPORARY TABLE gone (a INT);
DROP TEMPORARY TABLE gone;
ROLLBACK;

-- The same to savepoints, of which it leaves out what it can: of all but a temporary table's statements in the log.
BEGIN;
INSERT INTO t VALUES (20, 'e');
SAVEPOINT one;
INSERT INTO t VALUES (21, 'lost');
INSERT INTO m VALUES (3);
ROLLBACK TO one;
INSERT INTO t VALUES (22, 'f');
COMMIT;
SET binlog_format = MIXED;
BEGIN;
INSERT INTO t VALUES (30, LEFT(UUID(), 0));
SAVEPOINT one;
INSERT INTO t VALUES (31, CONCAT('lost', LEFT(UUID(), 0)));
SAVEPOINT two;
CREATE TEMPORARY TABLE gone SELECT 1 AS a;
INSERT INTO t VALUES (32, CONCAT('lost', LEFT(UUID(), 0)));
ROLLBACK TO two;
INSERT INTO t VALUES (33, CONCAT('lost', LEFT(UUID(), 0)));
INSERT INTO other.u VALUES (30 + LEFT(UUID(), 0));
ROLLBACK TO ONE;
INSERT INTO t VALUES (34, CONCAT('g', LEFT(UUID(), 0))), (35, CONCAT('h', LEFT(UUID(), 0)));
INSERT INTO t VALUES (36, CONCAT('i', LEFT(UUID(), 0)));
DROP TEMPORARY TABLE gone;
COMMIT;
FLUSH BINARY LOGS;
BEGIN;
INSERT INTO t VALUES (40, CONCAT('lost', LEFT(UUID(), 0)));
CREATE TEMPORARY TABLE gone SELECT 1 AS a;
INSERT INTO t VALUES (41, CONCAT('lost', LEFT(UUID(), 0)));
ROLLBACK;
DROP TEMPORARY TABLE gone;
SET binlog_format = ROW;

-- XA transactions come with their commit, as others do. A table from a query, with its rows.
XA START 'first';
INSERT INTO t VALUES (50, 'j');
DELETE FROM t WHERE id = 1;
XA END 'first';
XA PREPARE 'first';
XA COMMIT 'first';
XA START 'second';
INSERT INTO t VALUES (51, 'lost');
XA END 'second';
XA PREPARE 'second';
XA ROLLBACK 'second';
XA START 'third';
INSERT INTO t VALUES (52, 'k');
INSERT INTO s VALUES (1);
XA END 'third';
XA COMMIT 'third' ONE PHASE;
CREATE TABLE chosen (PRIMARY KEY (id)) SELECT id, v FROM t WHERE id < 20;
ALTER TABLE s ADD COLUMN n INT DEFAULT 5;
BEGIN;
INSERT INTO s (id) VALUES (2);
INSERT INTO s (id) VALUES (3);
UPDATE s SET n = 6 WHERE id = 2;
COMMIT;
TRUNCATE m;
INSERT INTO t VALUES (60, 'last');
FLUSH BINARY LOGS;
