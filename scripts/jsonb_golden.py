#!/usr/bin/env python3
"""Writes engine/mysql/src/jsonb/golden.txt: JSON values as a MySQL server stores them, next to the text it prints.

Needs `pip install pymysql cryptography`, an account that may create a database, and read access to the server's binary
log files (run it on the server's machine). It creates and drops the database `tidegate_golden`.

    scripts/jsonb_golden.py --port 3306 --user root [--password …] [--random 20000]

Lines of the file, separated by tabs; a run of one character longer than 1,000 is written <c*length> in text, <hh*length> in hex:

    document  hex of the stored value  text
    diff      hex of the value before  hex of the diff vector  text after

With --random the named number of random documents is checked as well and written to --out only (never commit those).
"""

import argparse
import json
import pathlib
import random
import re
import struct

import pymysql

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = REPOSITORY / "engine/mysql/src/jsonb/golden.txt"
DATABASE = "tidegate_golden"

TABLE_MAP, WRITE_ROWS, UPDATE_ROWS, PARTIAL_UPDATE_ROWS, FORMAT_DESCRIPTION = 19, 30, 31, 39, 15


# ---- what is captured ----------------------------------------------------------------------------------------------

def text(value):
    """A document written as JSON text."""
    return "CAST(" + sql_string(value) + " AS JSON)"


def sql_string(value):
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


DOUBLES = """
0.0 -0.0 1.0 -1.5 10.0 2.5 0.1 0.2 0.3 4.35 123456.123456 3.141592653589793
99999999999999.0 100000000000000.0 999999999999999.0 999999999999999.9 3819142350751694.5 -4503599627370497.5 1234567890123456.0 1e15 1.5e15 1e16 1e17 1e20 1e21 1e22 1e23 1e100
-1e100 1.5e300 123456789012345680.0 12345678901234567890.5 18446744073709551616 -9223372036854775809
0.0001 1e-5 1e-6 1.5e-5 1e-7 1e-10 1e-14 1e-15 1.25e-15 9.99e-16 1e-16 1.25e-17 1e-20 -1e-5 -1.2345678901234567e-15
1.2345678901234567e-14 1.2345678901234567e-15 1.2345678901234567e-16 0.012345678901234567 -0.0012345678901234567
5e-324 1e-323 2.2250738585072014e-308 2.225073858507201e-308 1.7976931348623157e308 -1.7976931348623157e308
9007199254740993.0 4503599627370496.5 5.684341886080802e-14 8.41e21 9.5367431640625e-7 2e-44
""".split()

DOCUMENTS = [
    text("null"), text("true"), text("false"), text("[]"), text("{}"), text('""'), text('"a"'), text("0"), text("-1"),
    text("32767"), text("32768"), text("-32768"), text("-32769"), text("65535"), text("65536"),
    text("2147483647"), text("2147483648"), text("-2147483648"), text("-2147483649"), text("4294967295"),
    text("4294967296"), text("9223372036854775807"), text("9223372036854775808"), text("-9223372036854775808"),
    text("18446744073709551615"),
    text("[0, -1, 32767, 32768, -32768, -32769, 65535, 65536, 2147483647, 2147483648, -2147483649, 4294967295, 4294967296]"),
    text("[9223372036854775807, -9223372036854775808, 18446744073709551615, 18446744073709551616, 1.0, 1]"),
    "JSON_ARRAY(CAST(1 AS UNSIGNED), CAST(40000 AS UNSIGNED), CAST(70000 AS UNSIGNED), CAST(3000000000 AS UNSIGNED))",
    text('{"a": 1, "b": [1, 2.0]}'),
    text('{"bb": 1, "a": 2, "c": 3, "aaa": 4, "": 5, "ä": 6, "B": 7}'),
    text('{"a": {"b": {"c": {"d": [[[[]]]]}}}}'),
    text('{"null": null, "true": true, "false": false, "string": "x", "object": {}, "array": []}'),
    text(r'["\"", "\\", "\/", "\b", "\f", "\n", "\r", "\t", "\u0000", "\u0001", "\u001f", "\u007f", "\u0080", "\u2028"]'),
    text('["<a href=\'x\'>&amp;</a>", "ünïcödé", "漢字", "😀", "e\u0301", "\U0010ffff", "\ufeff", "\ufffd"]'),
    text(r'{"\"q\"": 1, "\\": 2, "\n": 3, "\u0000": 4, "😀": 5, "a.b": 6, "a b": 7, "$": 8, "[0]": 9}'),
    text('["' + "x" * 126 + '", "' + "y" * 127 + '", "' + "z" * 128 + '", "' + "w" * 300 + '"]'),
    text("[" * 100 + "]" * 100),
    text('{"a":' * 99 + "1" + "}" * 99),
    text(json.dumps({f"key{i}": i for i in range(40)})),
    text(json.dumps([None, True, False] * 20)),
    text("[" + ", ".join(DOUBLES) + "]"),
    *[text(double) for double in DOUBLES],
    # Values that came out of SQL keep their type.
    "JSON_ARRAY(CAST('1.50' AS DECIMAL(10,2)), CAST('-0.5' AS DECIMAL(10,1)), CAST(0 AS DECIMAL(10,4)), CAST('0.000001' AS DECIMAL(30,30)))",
    "CAST(CAST('12345678901234567890123456789012345.123456789012345678901234567890' AS DECIMAL(65,30)) AS JSON)",
    "CAST(CAST('-99999999999999999999999999999999999999999999999999999999999999999' AS DECIMAL(65,0)) AS JSON)",
    "CAST(CAST('0.999999999999999999999999999999' AS DECIMAL(30,30)) AS JSON)",
    *[f"JSON_ARRAY(CAST('{'9' * i}.{'0' * (i - 1)}1' AS DECIMAL({i * 2},{i})), CAST('-1' AS DECIMAL({i + 1},{i})))" for i in range(1, 20)],
    "JSON_ARRAY(DATE'2010-01-02', DATE'9999-12-31', DATE'1000-01-01', CAST('0000-00-00' AS DATE), CAST('2010-00-10' AS DATE))",
    "CAST(DATE'2024-02-29' AS JSON)",
    "JSON_ARRAY(TIMESTAMP'2010-01-02 03:04:05', TIMESTAMP'2010-01-02 03:04:05.123', TIMESTAMP'9999-12-31 23:59:59.999999', CAST('0000-00-00' AS DATETIME))",
    "CAST(TIMESTAMP'2010-01-02 03:04:05.000001' AS JSON)",
    "JSON_ARRAY(TIME'00:00:00', TIME'-01:02:03.5', TIME'838:59:59', TIME'-838:59:59', TIME'-00:00:00.000001', TIME'23:59:59.999999')",
    "CAST(TIME'-00:00:00.25' AS JSON)",
    "JSON_ARRAY(x'', x'00', x'0001', x'000102', b'101', _binary'abc', CAST('abc' AS BINARY(5)))",
    "CAST(x'DEADBEEF' AS JSON)",
    *[f"JSON_ARRAY(CAST(REPEAT('a', {n}) AS BINARY))" for n in (56, 57, 58, 114, 115, 200)],
    "(SELECT JSON_OBJECT('bit', b, 'year', y, 'enum', e, 'set', s, 'tiny', tb, 'blob', bb, 'medium', mb, 'long', lb, 'varbinary', vb, 'binary', fb,"
    " 'ts', ts, 'ts6', ts6, 'dt', dt, 'dt3', dt3, 'd', d, 't', t, 't2', t2, 'f', f, 'g', g, 'char', c, 'text', tx, 'dec', de) FROM every_type LIMIT 1)",
    "JSON_ARRAY(CAST('1.1' AS FLOAT), CAST('1.1' AS DOUBLE), 1.1, 1e0, 1.10, 1 = 1, TRUE, PI(), -0e0)",
    # Large format: more than 64 KB.
    "JSON_ARRAY(REPEAT('a', 70000), 1, -1, 40000, 70000, 2147483648, 4294967296, 1.5, NULL, TRUE, 'b', JSON_ARRAY(1), JSON_OBJECT('k', 100000))",
    "JSON_OBJECT('s', REPEAT('a', 70000), 'i', 1, 'u', 65535, 'l', 100000, 'n', NULL, 'nested', JSON_OBJECT('t', REPEAT('b', 66000), 'x', -100000), 'd', DATE'2010-01-02')",
    "CAST(CONCAT('\"', REPEAT('a', 2100000), '\"') AS JSON)",
    "JSON_OBJECT(REPEAT('k', 65535), 1, 'a', REPEAT('v', 16384))",
]

# Each history starts from a document and applies partial updates to it.
HISTORIES = [
    (text('{"a": 1, "b": 2, "c": 3}'), ["JSON_REMOVE(doc, '$.b')", "JSON_SET(doc, '$.a', 7)", "JSON_REPLACE(doc, '$.c', 'longer text')", "JSON_SET(doc, '$.bb', 1, '$.aa', 2, '$.d', 3, '$.zzz', 4)"]),
    (text('{"a": {"b": [1, 2, {"c": "0123456789"}]}}'), ["JSON_SET(doc, '$.a.b[2].c', 'x')", "JSON_SET(doc, '$.a.b[9]', 'end')", "JSON_REMOVE(doc, '$.a.b[0]')", "JSON_SET(doc, '$.a.b[last]', 1.5)", "JSON_SET(doc, '$.a.b[last-1].d', CAST('[1,{\"x\":null}]' AS JSON))", "JSON_REMOVE(doc, '$.a.b[0]', '$.a.b[0]')"]),
    (text('[1, 2, 3, 4, 5]'), ["JSON_REMOVE(doc, '$[1]', '$[1]')", "JSON_SET(doc, '$[0]', 'zero', '$[5]', 'five')", "JSON_REPLACE(doc, '$[0]', NULL, '$[1]', TRUE)", "JSON_SET(doc, '$[last]', -70000)", "JSON_REMOVE(doc, '$[last]')"]),
    (text('{"a b": 1, "a.b": 2, "\\"": 3, "\\\\": 4, "": 5, "ä": 6, "漢字": 7, "😀": 8, "\\n\\u0001": 9, "$x_1": 10, "1a": 11, "a-b": 12, "[0]": 13, "*": 14, "\u200d": 15}'),
     ["""JSON_SET(doc, '$."a b"', 101, '$."a.b"', 102, '$."\\\\""', 103, '$."\\\\\\\\"', 104, '$.""', 105)""",
      """JSON_SET(doc, '$."ä"', 106, '$."漢字"', 107, '$."😀"', 108, '$."\\\\n\\\\u0001"', 109, '$."$x_1"', 110)""",
      """JSON_SET(doc, '$."1a"', 111, '$."a-b"', 112, '$."[0]"', 113, '$."*"', 114, '$.new', 1, '$."neu ä"', 2)""",
      """JSON_REMOVE(doc, '$."a b"', '$.ä', '$."*"')"""]),
    (text('{"a": [10, 20], "s": "scalar"}'), ["JSON_SET(doc, '$.s[1]', 'wrapped')", "JSON_SET(doc, '$.a[0]', JSON_OBJECT('k', DATE'2010-01-02'))", "JSON_SET(doc, '$.a[1]', CAST('1.50' AS DECIMAL(5,2)))", "JSON_SET(doc, '$.a[1]', x'00FF')", "JSON_SET(doc, '$.missing.x', 1)", "JSON_SET(doc, '$.a[0].k', 'y', '$.a[0].l', 18446744073709551615)"]),
    ("JSON_OBJECT('big', REPEAT('a', 70000), 'small', 1, 'list', JSON_ARRAY())", ["JSON_SET(doc, '$.small', 70000)", "JSON_SET(doc, '$.list[0]', 'first')", "JSON_SET(doc, '$.big', 'short')", "JSON_REMOVE(doc, '$.list[0]')"]),
    (text('{"a": "aaaaaaaaaaaaaaaaaaaaaaaa", "b": "bbbbbbbbbbbbbbbbbbbbbbbbb", "n": 1}'), ["JSON_SET(doc, '$.a', 'x')", "JSON_SET(doc, '$.b', CAST('[1]' AS JSON))", "JSON_SET(doc, '$.b', '12345678901234567890')", "JSON_REMOVE(doc, '$.a')", "JSON_SET(doc, '$.n', 1e100)", "JSON_SET(doc, '$.n', NULL)"]),
    (text("[[[[1]]]]"), ["JSON_SET(doc, '$[0][0][0][0]', 2)", "JSON_SET(doc, '$[0][0][0][1]', 3)", "JSON_REMOVE(doc, '$[0][0][0][0]')", "JSON_SET(doc, '$[0][5]', 6)"]),
]


def random_document(rng, depth=0):
    kind = rng.randrange(10 if depth < 4 else 7)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.choice([1, -1]) * rng.randrange(1 << rng.randrange(1, 63))
    if kind in (2, 3):
        while True:
            double = struct.unpack("<d", struct.pack("<Q", rng.getrandbits(64)))[0]
            if rng.random() < 0.3:
                double = 2.0 ** rng.randrange(-1074, 1023)
            elif rng.random() < 0.4:
                double = rng.randrange(10 ** rng.randrange(1, 18)) / 10 ** rng.randrange(0, 25)
            if double == double and abs(double) != float("inf"):
                return double
    if kind < 7:
        alphabet = rng.choice(["abc", "aé漢😀", "".join(map(chr, range(32))) + '"\\/ab'])
        return "".join(rng.choice(alphabet) for _ in range(rng.randrange(rng.choice([3, 20, 200]))))
    if kind == 7:
        return [random_document(rng, depth + 1) for _ in range(rng.randrange(6))]
    return {random_document_key(rng): random_document(rng, depth + 1) for _ in range(rng.randrange(6))}


def random_document_key(rng):
    return "".join(rng.choice("abé漢. \"\\") for _ in range(rng.randrange(4)))


def random_update(rng, document):
    """A JSON_SET, JSON_REPLACE or JSON_REMOVE of one to three places which exist, or nearly exist, in the document."""
    function = rng.choice(["JSON_SET", "JSON_SET", "JSON_REPLACE", "JSON_REMOVE"])
    arguments = []
    for _ in range(rng.randrange(1, 4)):
        path, place = "$", document
        while isinstance(place, (list, dict)) and (path == "$" or rng.random() < 0.7):
            if isinstance(place, list):
                index = rng.randrange(len(place) + 1)
                path += f"[{index}]" if rng.random() < 0.8 else f"[last-{index}]" if rng.random() < 0.5 else "[last]"
                place = place[index] if index < len(place) else None
            else:
                key = rng.choice([*place, random_document_key(rng)])
                path += "." + json.dumps(key)
                place = place.get(key)
        if path == "$":
            path = "$[1]"
        arguments.append(sql_string(path))
        if function != "JSON_REMOVE":
            arguments.append(text(json.dumps(random_document(rng, 2))))
    return f"{function}(doc, {', '.join(arguments)})"


# ---- the binary log -------------------------------------------------------------------------------------------------

class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        self.at += length
        assert self.at <= len(self.data)
        return self.data[self.at - length:self.at]

    def number(self, length):
        return int.from_bytes(self.take(length), "little")

    def packed_number(self):
        first = self.number(1)
        return first if first < 251 else self.number({252: 2, 253: 3, 254: 8}[first])


def row_images(log):
    """Yields (event type, stored document, is a diff) of each image of the table `documents (id INT, doc JSON)`."""
    position, checksum, table_id = 4, 0, None
    while position < len(log):
        kind, size = log[position + 4], struct.unpack_from("<I", log, position + 9)[0]
        event = Reader(log[position + 19:position + size])
        position += size
        if kind == FORMAT_DESCRIPTION:
            checksum = 4 * event.data[-5]
        event.data = event.data[:len(event.data) - checksum]
        if kind == TABLE_MAP:
            identifier = event.number(6)
            event.take(2)
            database = event.take(event.number(1) + 1)
            table = event.take(event.number(1) + 1)
            if (database, table) == (DATABASE.encode() + b"\0", b"documents\0"):
                table_id = identifier
        if kind in (WRITE_ROWS, UPDATE_ROWS, PARTIAL_UPDATE_ROWS):
            if event.number(6) != table_id:
                continue
            event.take(2)
            event.take(event.number(2) - 2)
            event.packed_number()
            event.take(1 if kind == WRITE_ROWS else 2)
            is_after = kind == WRITE_ROWS
            while event.at < len(event.data):
                is_diff = False
                if kind == PARTIAL_UPDATE_ROWS and is_after and event.packed_number() & 1:
                    is_diff = event.number(1) & 1 == 1
                nulls = event.number(1)
                event.take(4)
                document = None if nulls & 2 else event.take(event.number(4))
                yield kind, document, is_diff
                is_after = kind == WRITE_ROWS or not is_after


# ---- capture --------------------------------------------------------------------------------------------------------

def fold(letters, unit):
    return re.sub(r"((?:%s))\1{1000,}" % unit, lambda run: f"<{run[1]}*{len(run[0]) // len(run[1])}>", letters)


def capture(connection, random_count, seed):
    cursor = connection.cursor()

    def run(statement):
        cursor.execute(statement)
        return cursor.fetchall()

    run(f"DROP DATABASE IF EXISTS {DATABASE}")
    run(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
    run(f"USE {DATABASE}")
    run("SET SESSION sql_mode = '', SESSION binlog_format = 'ROW', SESSION binlog_row_image = 'FULL', SESSION time_zone = '+00:00'")
    run("SET SESSION binlog_transaction_compression = OFF")
    run("SET SESSION binlog_row_value_options = 'PARTIAL_JSON'")
    run("""CREATE TABLE every_type (b BIT(10), y YEAR, e ENUM('x','y'), s SET('p','q'), tb TINYBLOB, bb BLOB, mb MEDIUMBLOB, lb LONGBLOB,
        vb VARBINARY(9), fb BINARY(4), ts TIMESTAMP NULL, ts6 TIMESTAMP(6) NULL, dt DATETIME, dt3 DATETIME(3), d DATE, t TIME, t2 TIME(2), f FLOAT,
        g GEOMETRY, c CHAR(5), tx TEXT, de DECIMAL(20,5))""")
    run("""INSERT INTO every_type VALUES (b'1000000011', 1999, 'y', 'p,q', x'01', x'02', x'03', x'04', x'05', x'06', '2010-01-02 03:04:05',
        '2010-01-02 03:04:05.5', '2010-01-02 03:04:05', '2010-01-02 03:04:05.125', '2010-01-02', '-100:00:00', '00:00:01.25', 1234567.9, POINT(1, 2.5), 'c', 't', -1.5)""")
    run("CREATE TABLE documents (id INT PRIMARY KEY, doc JSON)")
    run("FLUSH BINARY LOGS")
    log_name = run("SHOW BINARY LOG STATUS")[0][0]
    log_folder = pathlib.Path(run("SELECT @@log_bin_basename")[0][0]).parent

    texts, rng = [], random.Random(seed)

    def read_text():
        texts.append(run("SELECT doc FROM documents")[0][0])

    def history(start, updates):
        run(f"INSERT INTO documents VALUES (1, {start})")
        read_text()
        for update in updates:
            before = texts[-1]
            if callable(update):
                update = update(json.loads(before))
            run(f"UPDATE documents SET id = id + 1, doc = {update}")
            texts.append(before)
            read_text()
        run("DELETE FROM documents")

    for document in DOCUMENTS:
        history(document, [])
    for start, updates in HISTORIES:
        # The last update rewrites nothing of the document: its images show what the partial updates left behind.
        history(start, updates)
        history(start, [*updates, "doc"])
    for _ in range(random_count):
        document = json.dumps(random_document(rng), ensure_ascii=rng.random() < 0.5)
        history(text(document), [lambda value: random_update(rng, value)] * rng.randrange(4))
    run("FLUSH BINARY LOGS")

    lines, before = [], None
    images = list(row_images((log_folder / log_name).read_bytes()))
    assert len(images) == len(texts), (len(images), len(texts))
    for (kind, document, is_diff), expected in zip(images, texts):
        expected = fold(expected, "[a-z]")
        stored = fold(document.hex(), "[0-9a-f]{2}")
        lines.append(f"diff\t{before}\t{stored}\t{expected}" if is_diff else f"document\t{stored}\t{expected}")
        before = stored
    run(f"DROP DATABASE {DATABASE}")
    return list(dict.fromkeys(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3306)
    parser.add_argument("--user", default="root")
    parser.add_argument("--password", default="")
    parser.add_argument("--random", type=int, default=0, help="random documents in addition")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, default=GOLDEN)
    options = parser.parse_args()
    if options.random and options.out == GOLDEN:
        parser.error("--random needs --out")
    connection = pymysql.connect(host=options.host, port=options.port, user=options.user, password=options.password, charset="utf8mb4", autocommit=True)
    lines = capture(connection, options.random, options.seed)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    print(f"{len(lines)} lines, {sum(line.startswith('diff') for line in lines)} of them diffs, in {options.out}")


if __name__ == "__main__":
    main()
