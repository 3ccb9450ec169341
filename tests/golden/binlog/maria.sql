-- What `maria.000001` and `maria.000002` were recorded from: every way in which MariaDB frames a transaction, in two domains, and what it
-- writes of those that it rolls back. MariaDB 10.11, binlog_row_metadata=FULL. `record.sh` beside this file records it again.
-- Whoever has prepared an XA transaction has to leave before the next statement: `connect` is another session.
SET GLOBAL log_bin_compress_min_len = 10;
SET SESSION timestamp = 1700000000;
CREATE DATABASE golden CHARACTER SET utf8mb4;
CREATE DATABASE other;
USE golden;
CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(40));
CREATE TABLE s (id INT PRIMARY KEY);
CREATE TABLE m (id INT PRIMARY KEY) ENGINE = MyISAM;
CREATE TABLE other.u (id INT PRIMARY KEY);

-- Several rows events, some of a table that is not captured; of one domain and another.
BEGIN;
INSERT INTO t VALUES (1, 'a');
INSERT INTO other.u VALUES (1);
INSERT INTO t VALUES (2, 'b'), (3, 'c');
UPDATE t SET v = 'x' WHERE id < 3;
COMMIT;
SET SESSION gtid_domain_id = 5;
BEGIN;
INSERT INTO other.u VALUES (2);
INSERT INTO other.u VALUES (3);
COMMIT;
BEGIN;
INSERT INTO t VALUES (4, 'far');
INSERT INTO s VALUES (1);
COMMIT;
SET SESSION gtid_domain_id = 0;
INSERT INTO m VALUES (1), (2);

-- Compressed, rows and statements.
SET GLOBAL log_bin_compress = ON;
BEGIN;
INSERT INTO t VALUES (50, REPEAT('f', 30)), (51, REPEAT('g', 30));
INSERT INTO other.u VALUES (50);
UPDATE t SET v = REPEAT('h', 30) WHERE id IN (50, 1);
DELETE FROM t WHERE id = 50;
COMMIT;
CREATE TABLE wide (id INT PRIMARY KEY, a_name_that_is_long_enough_to_be_packed INT, another_one_of_the_same_length_or_so INT);
SET GLOBAL log_bin_compress = OFF;

-- Rolled back, and written down with it.
BEGIN;
INSERT INTO t VALUES (10, 'lost');
INSERT INTO other.u VALUES (10);
INSERT INTO m VALUES (3);
INSERT INTO t VALUES (11, 'lost');
CREATE TEMPORARY TABLE gone (a INT);
DROP TEMPORARY TABLE gone;
INSERT INTO t VALUES (12, 'lost');
ROLLBACK;
INSERT INTO t VALUES (13, 'd');
BEGIN;
INSERT INTO t VALUES (20, 'e');
SAVEPOINT one;
INSERT INTO t VALUES (21, 'lost');
INSERT INTO m VALUES (4);
ROLLBACK TO one;
INSERT INTO t VALUES (22, 'f');
COMMIT;

-- XA transactions that overlap: with rows of both kinds, only of the other kind, rolled back, in one phase, of another domain.
XA START 'first';
INSERT INTO t VALUES (30, 'xa');
INSERT INTO other.u VALUES (30);
INSERT INTO t VALUES (31, 'xa');
DELETE FROM t WHERE id = 3;
XA END 'first';
XA PREPARE 'first';
connect golden
SET SESSION timestamp = 1700000000;
INSERT INTO s VALUES (2);
XA START 'without';
INSERT INTO other.u VALUES (31);
XA END 'without';
XA PREPARE 'without';
connect golden
SET SESSION timestamp = 1700000000, gtid_domain_id = 5;
XA START 'second', 'branch', 7;
INSERT INTO t VALUES (32, 'lost');
SAVEPOINT one;
INSERT INTO t VALUES (33, 'lost');
XA END 'second', 'branch', 7;
XA PREPARE 'second', 'branch', 7;
connect golden
SET SESSION timestamp = 1700000000, gtid_domain_id = 5;
XA START 'far';
INSERT INTO t VALUES (34, 'xa far');
XA END 'far';
XA PREPARE 'far';
connect golden
SET SESSION timestamp = 1700000000;
ALTER TABLE s ADD COLUMN n INT DEFAULT 5;
BEGIN;
INSERT INTO s (id) VALUES (3);
INSERT INTO s (id) VALUES (4);
COMMIT;
XA COMMIT 'first';
XA START 'first';
INSERT INTO s (id) VALUES (5);
UPDATE s SET n = 6 WHERE id = 5;
XA END 'first';
XA COMMIT 'first' ONE PHASE;

-- The next file begins while transactions are prepared.
FLUSH BINARY LOGS;
SET SESSION gtid_domain_id = 5;
XA ROLLBACK 'second', 'branch', 7;
INSERT INTO s (id) VALUES (6);
SET SESSION gtid_domain_id = 0;
XA COMMIT 'without';
XA COMMIT 'far';
SET SESSION binlog_alter_two_phase = ON;
ALTER TABLE s ADD COLUMN late INT DEFAULT 8, ALGORITHM = COPY;
INSERT INTO s (id) VALUES (7);
SET SESSION binlog_alter_two_phase = OFF;
CREATE SEQUENCE q;
SELECT NEXTVAL(q);
CREATE TABLE chosen (PRIMARY KEY (id)) SELECT id, v FROM t WHERE id < 3;
CREATE OR REPLACE TABLE chosen (PRIMARY KEY (id)) SELECT id, v FROM t WHERE id < 5;
TRUNCATE s;
BEGIN;
INSERT INTO t VALUES (60, 'late');
UPDATE chosen SET v = 'y';
COMMIT;
XA START 'left';
INSERT INTO t VALUES (61, 'waits');
XA END 'left';
XA PREPARE 'left';
connect golden
SET SESSION timestamp = 1700000000;
INSERT INTO t VALUES (62, 'last');
FLUSH BINARY LOGS;
