-- What `all.binlog` was recorded from: every type with its extremes, and every way in which a transaction is framed.
-- MySQL 9.7 with GTIDs, binlog_row_metadata=FULL. `record.sh` beside this file records it again.
SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = '', group_concat_max_len = 100000, timestamp = 1700000000.654321;
CREATE DATABASE golden CHARACTER SET utf8mb4;
CREATE DATABASE other;
USE golden;

CREATE TABLE numbers (
  id INT PRIMARY KEY, ti TINYINT, tu TINYINT UNSIGNED, si SMALLINT, su SMALLINT UNSIGNED, mi MEDIUMINT, mu MEDIUMINT UNSIGNED,
  y YEAR, i INT, iu INT UNSIGNED, bi BIGINT, bu BIGINT UNSIGNED, f FLOAT, fu FLOAT UNSIGNED, d DOUBLE, d65 DECIMAL(65,30), d10 DECIMAL(10,2),
  du DECIMAL(10,2) UNSIGNED, d38 DECIMAL(38,0), d19 DECIMAL(19,19), d1 DECIMAL(1,1), d18 DECIMAL(18,9), b1 BIT(1), b10 BIT(10), b64 BIT(64));
INSERT INTO numbers VALUES
  (1, -128, 0, -32768, 0, -8388608, 0, 0, -2147483648, 0, -9223372036854775808, 0, -3.4028234e38, 0, -1.7976931348623157e308,
   '-99999999999999999999999999999999999.999999999999999999999999999999', -99999999.99, 0, '-99999999999999999999999999999999999999',
   '-0.9999999999999999999', -0.9, -999999999.999999999, 0, 0, 0),
  (2, 127, 255, 32767, 65535, 8388607, 16777215, 2155, 2147483647, 4294967295, 9223372036854775807, 18446744073709551615, 3.4028234e38,
   3.4028234e38, 1.7976931348623157e308, '99999999999999999999999999999999999.999999999999999999999999999999', 99999999.99, 99999999.99,
   '99999999999999999999999999999999999999', '0.9999999999999999999', 0.9, 999999999.999999999, 1, b'1111111111', 18446744073709551615),
  (3, -1, 1, -1, 1, -1, 1, 1901, -1, 1, -1, 1, 1234567.9, 1e-45, -2.2250738585072014e-308, '-0.000000000000000000000000000001', -0.01, 0.01, -1,
   '-0.0000000000000000001', -0.1, -0.000000001, 1, b'10', 1),
  (4, 0, 128, 0, 32768, 0, 8388608, 2024, 0, 2147483648, 0, 9223372036854775808, 0, 0.1, 0.1, '123456789012345678901234567890.5', 1234567.89, 1000000,
   1000000000000000000, '0.1000000000000000001', 0, 123456789.000000001, 0, b'1000000000', 9223372036854775808),
  (5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE times (
  id INT PRIMARY KEY, d DATE, t0 TIME, t1 TIME(1), t2 TIME(2), t3 TIME(3), t4 TIME(4), t5 TIME(5), t6 TIME(6), dt0 DATETIME, dt1 DATETIME(1),
  dt3 DATETIME(3), dt5 DATETIME(5), dt6 DATETIME(6), ts0 TIMESTAMP NULL, ts2 TIMESTAMP(2) NULL, ts4 TIMESTAMP(4) NULL, ts6 TIMESTAMP(6) NULL);
INSERT INTO times VALUES
  (1, '0000-00-00', '-838:59:59', '-838:59:58.9', '-00:00:00.25', '-00:00:00.001', '-00:00:01.0001', '-12:34:56.78901', '-00:00:00.000001',
   '0000-00-00', '0000-00-00', '0000-00-00', '0000-00-00', '0000-00-00', '0000-00-00', '0000-00-00', '0000-00-00', '0000-00-00'),
  (2, '9999-12-31', '838:59:59', '838:59:58.9', '838:59:58.99', '00:00:00.001', '00:00:01.0001', '12:34:56.78901', '838:59:58.999999',
   '9999-12-31 23:59:59', '9999-12-31 23:59:59.4', '9999-12-31 23:59:59.499', '9999-12-31 23:59:59.49999', '9999-12-31 23:59:59.499999',
   '2038-01-19 03:14:07', '2038-01-19 03:14:07.99', '2038-01-19 03:14:07.4999', '2038-01-19 03:14:07.499999'),
  (3, '2010-00-10', '00:00:00', '-00:00:00.1', '-00:00:01', '-01:00:00', '-00:01:00.0001', '00:00:00', '-00:00:01',
   '2010-00-10 01:02:03', '2010-10-00 01:02:03.1', '2010-00-00 23:59:59.999', '0000-01-01 00:00:00.00001', '2010-00-10 01:02:03.000001',
   '1970-01-01 00:00:01', '1970-01-01 00:00:01.01', '1970-01-01 00:00:01.0001', '1970-01-01 00:00:01.000001'),
  (4, '1000-01-01', '00:00:01', '00:00:00.1', '00:00:00.01', '-00:00:59.999', '-838:59:58.9999', '-00:00:00.00001', '-838:59:58.999999',
   '1000-01-01', '1969-12-31 23:59:59.9', '1970-01-01', '2024-02-29 12:00:00.5', '0001-01-01 00:00:00.000001',
   '2024-02-29 12:34:56', '2024-02-29 12:34:56.78', '2024-02-29 12:34:56.7', '2024-02-29 12:34:56.789'),
  (5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);

CREATE TABLE strings (
  id INT PRIMARY KEY, c CHAR(10), c255 CHAR(255), v VARCHAR(20), v1000 VARCHAR(1000), bin BINARY(4), bin200 BINARY(200), vb VARBINARY(10), vb300 VARBINARY(300),
  tt TINYTEXT, tx TEXT, mt MEDIUMTEXT, lt LONGTEXT, tb TINYBLOB, bl BLOB, mb MEDIUMBLOB, lb LONGBLOB,
  l1 VARCHAR(20) CHARACTER SET latin1, gbk VARCHAR(20) CHARACTER SET gbk, u16 VARCHAR(20) CHARACTER SET utf16, sj CHAR(80) CHARACTER SET sjis,
  u3 TEXT CHARACTER SET utf8mb3, asc1 CHAR(3) CHARACTER SET ascii,
  e ENUM('small','with, comma','it''s','') , s SET('x','y','z'), el ENUM('größe','ñ') CHARACTER SET latin1, j JSON, g GEOMETRY, p POINT SRID 4326, ve VECTOR(3));
INSERT INTO strings VALUES
  (1, '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', '', 'nonsense', '', 'größe', 'null', ST_GeomFromText('POINT(1 2)'),
   ST_GeomFromText('POINT(10 20)', 4326), TO_VECTOR('[1,2,3]')),
  (2, 'ab  ', REPEAT('é', 200), 'tea', REPEAT('x', 300), x'0100', x'ff', x'00ff00', REPEAT('v', 256), 'tiny', 'text', 'medium', 'long', x'00', x'0001',
   x'000102', x'00010203', 'naïve €', '中文', '😀x', 'カタカナ', 'µ', 'abc', 'with, comma', 'x,z', 'ñ',
   '{"b": 1.0, "a": [true, null, "text", {"deep": 18446744073709551615}], "c": 1.5e300}',
   ST_GeomFromText('LINESTRING(0 0,1 1,2 0)'), NULL, TO_VECTOR('[-0.5,1e10,3.5]')),
  (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
   NULL, NULL, NULL),
  (4, 'tab	x', 'line
end', '''quoted"', '\\', 'abcd', REPEAT('b', 200), 'x', 'y', REPEAT('t', 255), REPEAT('u', 300), 'ü', 'ß', 'b', 'c', 'd', 'e', 'ÿ', '丂', '𝄞', '表', 'ａ', 'z',
   'it''s', 'x,y,z', NULL, JSON_OBJECT('t', CAST('-01:02:03.5' AS TIME(6)), 'd', CAST('2024-02-29' AS DATE), 'n', CAST('1.20' AS DECIMAL(10,2))),
   ST_GeomFromText('GEOMETRYCOLLECTION EMPTY'), ST_GeomFromText('POINT(-45.5 170)', 4326), NULL);
UPDATE strings SET c = 'after', e = 'small', s = 'y', j = '[1]' WHERE id IN (2, 3);
DELETE FROM strings WHERE id = 4;

-- Null bits of exactly one byte, and of one bit more.
CREATE TABLE eight (a INT, b INT, c INT, d INT, e INT, f INT, g INT, h INT);
CREATE TABLE nine (a INT, b INT, c INT, d INT, e INT, f INT, g INT, h INT, i INT);
INSERT INTO eight VALUES (1,2,3,4,5,6,7,8), (NULL,2,NULL,4,NULL,6,NULL,8), (1,NULL,3,NULL,5,NULL,7,NULL);
INSERT INTO nine VALUES (1,2,3,4,5,6,7,8,9), (NULL,2,NULL,4,NULL,6,NULL,8,NULL), (1,NULL,3,NULL,5,NULL,7,NULL,9);

-- Numbers of two bytes, 64 members.
SET @labels = (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT GROUP_CONCAT(QUOTE(CONCAT('e', i)) ORDER BY i) FROM n);
SET @members = (WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 64) SELECT GROUP_CONCAT(QUOTE(CONCAT('m', i)) ORDER BY i) FROM n);
SET @create = CONCAT('CREATE TABLE labels (id INT PRIMARY KEY, e ENUM(', @labels, '), s SET(', @members, '), s9 SET(''1'',''2'',''3'',''4'',''5'',''6'',''7'',''8'',''9''))');
PREPARE create_labels FROM @create;
EXECUTE create_labels;
INSERT INTO labels VALUES (1, 'e1', 'm1', '9'), (2, 'e256', 'm64', '1,9'), (3, 'e300', 'm1,m33,m64', '');

-- Hidden, generated and invisible columns are in the image.
SET sql_generate_invisible_primary_key = ON;
CREATE TABLE hidden (a INT, b INT INVISIBLE DEFAULT 7, twice INT AS (a * 2) VIRTUAL, thrice INT AS (a * 3) STORED, INDEX ((a + 1)));
SET sql_generate_invisible_primary_key = OFF;
INSERT INTO hidden (a) VALUES (1), (2);
UPDATE hidden SET a = 5 WHERE a = 1;

-- Changes of documents in place of documents.
CREATE TABLE documents (id INT PRIMARY KEY, j JSON, n INT, k JSON);
INSERT INTO documents VALUES (1, '{"a": 1, "b": ["x", "y"]}', 1, '{"z": "long enough to be worth a partial update, they say"}'), (2, NULL, 2, '{}');
SET binlog_row_value_options = PARTIAL_JSON;
UPDATE documents SET j = JSON_SET(j, '$.a', 22, '$.c', 'new'), n = 10, k = JSON_REPLACE(k, '$.z', 'short') WHERE id = 1;
UPDATE documents SET j = JSON_REMOVE(j, '$.b[0]') WHERE id = 1;
UPDATE documents SET j = '[]', k = JSON_SET(k, '$.q', 1) WHERE id = 2;
SET binlog_row_value_options = '';

-- Compressed: several statements in one event.
SET binlog_transaction_compression = ON;
BEGIN;
INSERT INTO eight (a) VALUES (100);
INSERT INTO nine (a) VALUES (101), (102);
UPDATE eight SET b = 1 WHERE a = 100;
COMMIT;
SET binlog_transaction_compression = OFF;

-- Savepoints, a rollback, tables that are not captured, a table without transactions.
CREATE TABLE other.skipped (a INT, v VECTOR(2));
CREATE TABLE simple (id INT PRIMARY KEY, v VARCHAR(10)) ENGINE = MyISAM;
BEGIN;
INSERT INTO eight (a) VALUES (200);
SAVEPOINT one;
INSERT INTO eight (a) VALUES (201);
ROLLBACK TO one;
INSERT INTO other.skipped VALUES (1, TO_VECTOR('[1,2]'));
INSERT INTO eight (a) VALUES (202);
COMMIT;
BEGIN;
INSERT INTO eight (a) VALUES (203);
ROLLBACK;
INSERT INTO simple VALUES (1, 'one'), (2, 'two');
TRUNCATE simple;

-- XA: committed after another transaction, rolled back, in one phase.
XA START 'first';
INSERT INTO eight (a) VALUES (300);
XA END 'first';
XA PREPARE 'first';
XA START 'second', 'branch', 7;
INSERT INTO eight (a) VALUES (301);
XA END 'second', 'branch', 7;
XA PREPARE 'second', 'branch', 7;
INSERT INTO nine (a) VALUES (302);
XA ROLLBACK 'second', 'branch', 7;
XA COMMIT 'first';
XA START 'third';
INSERT INTO eight (a) VALUES (303);
XA END 'third';
XA COMMIT 'third' ONE PHASE;

-- The schema moves on; a table from a query; GTIDs with a tag.
ALTER TABLE nine ADD COLUMN first_one VARCHAR(5) DEFAULT 'new' FIRST, DROP COLUMN i;
INSERT INTO nine (a) VALUES (400);
CREATE TABLE chosen (PRIMARY KEY (a)) SELECT a, first_one FROM nine WHERE a >= 400;
SET gtid_next = 'AUTOMATIC:nightly';
DELETE FROM nine WHERE a = 400;
SET gtid_next = 'AUTOMATIC';
INSERT INTO eight (a) VALUES (500);
FLUSH BINARY LOGS;
