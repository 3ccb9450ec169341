#!/usr/bin/env python3
"""Writes engine/collation/src/tables/: which collations there are, and the weights of every character in them.

    scripts/servers.sh up mysql-gtid mariadb-11
    scripts/weights.py mysql://admin:admin@127.0.0.1:PORT mysql://admin:admin@127.0.0.1:PORT

Needs `pip install pymysql cryptography`; the servers, a MySQL and a MariaDB, are the only source of every weight (WEIGHT_STRING). It
creates and drops the database `tidegate_weights` on both and takes about ten minutes, most of them for contractions: pairs of
characters that weigh something else than one after the other. Looked for are pairs whose second character is a mark, or of a script of
South-East Asia whose vowels are written before their consonant. The committed files came from MySQL 9.7.4 and MariaDB 11.8.9.

    collations.txt  a line each: servers that have it so (mysql, mariadb, both), name, its number on each, pad or nopad, character set,
                    file, which of its tables are compared, one after the other
    *.bin           the tables of a file, as 16-bit numbers, little end first:

        tables, length of a top row, middle rows, leaves, length of the pool, contractions
        top rows        of each table: the middle row of 4,096 code points
        middle rows     64 numbers each: the leaf of 64 code points
        leaves          64 numbers each: below 8000 the one weight, below FFF0 where in the pool the weights are, plus 8000, else a rule
        pool            how many weights, and the weights
        contractions    in order: both code points, two numbers each, high one first; then of each table what a leaf would hold

A rule makes the weights of a code point from itself: see RULES here and `Rule` in the crate.
"""

import itertools
import pathlib
import struct
import sys
import unicodedata
import zlib
from urllib.parse import urlparse

import pymysql

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "engine/collation/src/tables"
DATABASE = "tidegate_weights"
CODE_POINTS = [cp for cp in range(0x110000) if not 0xD800 <= cp < 0xE000]
POOLED, RULES_FROM = 0x8000, 0xFFF0

# Character sets of one byte a character.
BYTES = """armscii8 ascii cp1250 cp1251 cp1256 cp1257 cp850 cp852 cp866 dec8 geostd8 greek hebrew hp8 keybcs2 koi8r koi8u latin1
    latin2 latin5 latin7 macce macroman swe7""".split()


def implicit(base, start=0):
    return lambda cp: (base + (cp - start >> 15), (cp - start & 0x7FFF) | 0x8000)


# In the order of `Rule`.
RULES = {
    0xFFFF: implicit(0xFBC0),
    0xFFFE: implicit(0xFB80),
    0xFFFD: implicit(0xFB40),
    0xFFFC: implicit(0xFB00, 0x17000),
    0xFFFB: implicit(0xFB01, 0x1B170),
    0xFFFA: implicit(0xFB02, 0x18B00),
    # 0xFFF9: a Hangul syllable has the weights of its letters, see `hangul`.
    0xFFF8: lambda cp: (cp,),
    # 0xFFF7: not a character of this set.
}
HANGUL, NO_CHARACTER = 0xFFF9, 0xFFF7


class Server:
    def __init__(self, url):
        url = urlparse(url)
        connection = pymysql.connect(
            host=url.hostname, port=url.port, user=url.username, password=url.password, charset="utf8mb4", autocommit=True
        )
        self.cursor = connection.cursor()
        self.query(f"DROP DATABASE IF EXISTS {DATABASE}")
        self.query(f"CREATE DATABASE {DATABASE}")
        self.query(f"USE {DATABASE}")
        self.query("SET SESSION group_concat_max_len = 1 << 30")
        self.query("CREATE TABLE digits (d INT PRIMARY KEY)")
        self.query(f"INSERT INTO digits VALUES {', '.join(f'({d})' for d in range(1024))}")
        self.query("CREATE TABLE characters (cp INT PRIMARY KEY, c VARCHAR(1) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin)")
        self.query(
            "INSERT INTO characters SELECT cp, CONVERT(CONVERT(UNHEX(LPAD(HEX(cp), 8, '0')) USING utf32) USING utf8mb4) FROM"
            " (SELECT a.d * 1024 + b.d AS cp FROM digits a, digits b UNION ALL SELECT 1048576 + a.d * 1024 + b.d FROM digits a, digits b"
            " WHERE a.d < 64) AS cps WHERE cp NOT BETWEEN 0xd800 AND 0xdfff"
        )

    def query(self, sql, *arguments):
        self.cursor.execute(sql, arguments)
        return self.cursor.fetchall()

    def weights(self, collation):
        """The weights of every character as bytes, by code point."""
        return dict(self.query(f"SELECT cp, WEIGHT_STRING(c COLLATE {collation}) FROM characters"))

    def bytes(self, charset, collation):
        """The same of the characters of a set of one byte each."""
        rows = self.query(
            f"SELECT HEX(CONVERT(CONVERT(code USING {charset}) USING utf32)), WEIGHT_STRING(CONVERT(code USING {charset}) COLLATE {collation}),"
            f" HEX(CONVERT(CONVERT(CONVERT(CONVERT(code USING {charset}) USING utf8mb4) USING {charset}) USING binary)), HEX(code)"
            " FROM (SELECT UNHEX(LPAD(HEX(d), 2, '0')) AS code FROM digits WHERE d < 256) AS codes"
        )
        # A code without a character comes back as another one.
        return {int(character, 16): weights for character, weights, back, code in rows if back == code}

    def drop(self):
        self.query(f"DROP DATABASE {DATABASE}")


def units(weights):
    return struct.unpack(f">{len(weights) // 2}H", weights)


def three_levels_0900(server):
    """MySQL puts a zero between levels."""
    levels = [{}, {}, {}]
    for cp, weights in server.weights("utf8mb4_0900_as_cs").items():
        parts, part = [], []
        for unit in units(weights):
            if unit == 0:
                parts.append(tuple(part))
                part = []
            else:
                part.append(unit)
        parts.append(tuple(part))
        assert len(parts) == 3, (cp, weights)
        for level, part in zip(levels, parts):
            level[cp] = part
    return levels


def three_levels_1400(server):
    """MariaDB puts nothing between levels; there are collations of one, two and three."""
    first = server.weights("utf8mb4_uca1400_ai_ci")
    second = server.weights("utf8mb4_uca1400_as_ci")
    third = server.weights("utf8mb4_uca1400_as_cs")
    levels = [{}, {}, {}]
    for cp in CODE_POINTS:
        a, b, c = first[cp], second[cp], third[cp]
        assert b.startswith(a) and c.startswith(b), cp
        for level, part in zip(levels, (a, b[len(a) :], c[len(b) :])):
            level[cp] = units(part)
    return levels


def is_mark(cp):
    prefixed_vowels = 0x0E00 <= cp < 0x0F00 or 0x1980 <= cp < 0x19E0 or 0xAA80 <= cp < 0xAAE0
    return prefixed_vowels or unicodedata.category(chr(cp)).startswith("M")


def contractions(server, collation, levels, separator):
    """Pairs that weigh something else than their parts: weights by level of each."""
    plain = [cp for cp in CODE_POINTS if rule_of(cp, levels[0][cp]) is None and levels[0][cp] != (0xFFFD,) and not is_hangul(cp)]
    packed = [{cp: struct.pack(f">{len(w)}H", *w) for cp, w in level.items()} for level in levels]
    server.query("DROP TABLE IF EXISTS chunks, marks")
    server.query("CREATE TABLE chunks (k INT PRIMARY KEY, t LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin)")
    server.query("CREATE TABLE marks AS SELECT * FROM characters WHERE 0")
    marks = [cp for cp in plain if is_mark(cp)]
    server.query("INSERT INTO marks SELECT * FROM characters WHERE cp IN (" + ", ".join(map(str, marks)) + ")")
    chunks = [plain[at : at + 4000] for at in range(0, len(plain), 4000)]
    found = {}

    def expected(firsts, mark):
        return separator.join(level[mark].join([level[cp] for cp in firsts]) + level[mark] for level in packed)

    def narrow(firsts, mark):
        [[weights]] = server.query(f"SELECT WEIGHT_STRING(%s COLLATE {collation})", "".join(chr(cp) + chr(mark) for cp in firsts))
        if weights == expected(firsts, mark):
            return
        if len(firsts) > 1:
            narrow(firsts[: len(firsts) // 2], mark)
            narrow(firsts[len(firsts) // 2 :], mark)
        else:
            found[firsts[0], mark] = weights

    for k, firsts in enumerate(chunks):
        # U+E000 stands where the mark will.
        server.query("INSERT INTO chunks VALUES (%s, %s)", k, "".join(chr(cp) + "\ue000" for cp in firsts))
        rows = server.query(
            f"SELECT marks.cp, CRC32(WEIGHT_STRING(REPLACE(t, '\ue000', c) COLLATE {collation})) FROM chunks, marks WHERE k = {k}"
        )
        for mark, crc in rows:
            if zlib.crc32(expected(firsts, mark)) != crc:
                narrow(firsts, mark)
    return found


def contractions_1400(server, levels):
    pairs = contractions(server, "utf8mb4_uca1400_as_cs", levels, b"")

    def by_level(text):
        parts, seen = [], 0
        for level in ("ai_ci", "as_ci", "as_cs"):
            [[weights]] = server.query(f"SELECT WEIGHT_STRING(%s COLLATE utf8mb4_uca1400_{level})", text)
            parts.append(units(weights[seen:]))
            seen = len(weights)
        return parts

    found = {pair: by_level("".join(map(chr, pair))) for pair in sorted(pairs)}
    print(len(found), "contractions", file=sys.stderr)
    return found


def is_hangul(cp):
    return 0xAC00 <= cp < 0xD7A4


def hangul(cp, table):
    index = cp - 0xAC00
    letters = [0x1100 + index // 588, 0x1161 + index % 588 // 28] + ([0x11A7 + index % 28] if index % 28 else [])
    return tuple(weight for letter in letters for weight in table[letter])


def rule_of(cp, weights):
    for number, rule in RULES.items():
        try:
            if rule(cp) == weights:
                return number
        except ValueError:
            pass
    return None


def write(name, tables, top_length, pairs=None):
    leaves, middles, pool, pool_at, tops = {}, {}, [], {}, []

    def leaf_value(cp, weights, table):
        if weights is None:
            return NO_CHARACTER
        if is_hangul(cp) and weights == hangul(cp, table):
            return HANGUL
        rule = rule_of(cp, weights)
        if rule is not None:
            return rule
        if len(weights) == 1 and weights[0] < POOLED:
            return weights[0]
        if weights not in pool_at:
            pool_at[weights] = len(pool)
            pool.extend([len(weights), *weights])
        assert POOLED + pool_at[weights] < RULES_FROM, name
        return POOLED + pool_at[weights]

    for table in tables:
        top = []
        for block in range(top_length):
            middle = []
            for page in range(64):
                start = block * 4096 + page * 64
                leaf = tuple(leaf_value(cp, table.get(cp), table) for cp in range(start, start + 64))
                middle.append(leaves.setdefault(leaf, len(leaves)))
            top.append(middles.setdefault(tuple(middle), len(middles)))
        tops.extend(top)
    pairs = pairs or {}
    contracted = []
    for (first, second), levels in sorted(pairs.items()):
        contracted.extend([first >> 16, first & 0xFFFF, second >> 16, second & 0xFFFF])
        # Never a rule: a pair has no code point of its own.
        for weights in levels:
            if not (len(weights) == 1 and weights[0] < POOLED) and weights not in pool_at:
                pool_at[weights] = len(pool)
                pool.extend([len(weights), *weights])
            contracted.append(weights[0] if len(weights) == 1 and weights[0] < POOLED else POOLED + pool_at[weights])
    numbers = [len(tables), top_length, len(middles), len(leaves), len(pool), len(pairs)]
    for part in (tops, itertools.chain(*middles), itertools.chain(*leaves), pool, contracted):
        numbers.extend(part)
    data = struct.pack(f"<{len(numbers)}H", *numbers)
    (FOLDER / f"{name}.bin").write_bytes(data)
    print(f"{name}.bin: {len(data)} bytes, {len(leaves)} leaves, {len(pool)} in the pool", file=sys.stderr)


def main():
    mysql, mariadb = Server(sys.argv[1]), Server(sys.argv[2])
    mysql_ids = {
        name: (number, charset, pad)
        for name, number, charset, pad in mysql.query(
            "SELECT COLLATION_NAME, ID, CHARACTER_SET_NAME, PAD_ATTRIBUTE FROM information_schema.COLLATIONS"
        )
    }
    mariadb_ids = {
        name: (number, charset)
        for name, number, charset in mariadb.query(
            "SELECT FULL_COLLATION_NAME, ID, CHARACTER_SET_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY"
        )
    }
    lines = []

    def line(name, charset, file, levels, servers=None):
        on_mysql = name in mysql_ids and servers != "mariadb"
        on_mariadb = name in mariadb_ids and servers != "mysql"
        if not on_mysql and not on_mariadb:
            return
        pad = "nopad" if "nopad" in name or "_0900_" in name or name == "binary" else "pad"
        if on_mysql:
            assert pad == ("nopad" if mysql_ids[name][2] == "NO PAD" else "pad"), name
        where = "both" if on_mysql and on_mariadb else "mysql" if on_mysql else "mariadb"
        number = lambda ids, there: str(ids[name][0]) if there else "-"
        fields = [where, name, number(mysql_ids, on_mysql), number(mariadb_ids, on_mariadb), pad, charset, file, levels]
        lines.append(" ".join(fields))

    # Unicode's, and that of code points folded one by one.
    for file, kind in (("general", "general"), ("uca0400", "unicode"), ("uca0520", "unicode_520")):
        weights = mysql.weights(f"utf8mb4_{kind}_ci")
        assert weights == mariadb.weights(f"utf8mb4_{kind}_ci"), kind
        table = {cp: units(w) for cp, w in weights.items()}
        if kind != "general":
            assert not contractions(mysql, f"utf8mb4_{kind}_ci", [table], b"")
        write(file, [table], 272)
        for charset in ("utf8mb4", "utf8mb3"):
            for nopad in ("", "nopad_"):
                line(f"{charset}_{kind}_{nopad}ci", charset, file, "1")
    levels = three_levels_0900(mysql)
    assert not contractions(mysql, "utf8mb4_0900_as_cs", levels, b"\0\0")
    write("uca0900", levels, 272)
    levels = three_levels_1400(mariadb)
    write("uca1400", levels, 272, contractions_1400(mariadb, levels))
    for strength, compared in (("ai_ci", "1"), ("as_ci", "12"), ("as_cs", "123")):
        line(f"utf8mb4_0900_{strength}", "utf8mb4", "uca0900", compared, "mysql")
        # MariaDB takes these names for its own collations.
        line(f"utf8mb4_0900_{strength}", "utf8mb4", "uca1400", compared, "mariadb")
    for strength, compared in (("ai_ci", "1"), ("ai_cs", "13"), ("as_ci", "12"), ("as_cs", "123")):
        for charset in ("utf8mb4", "utf8mb3"):
            for nopad in ("", "nopad_"):
                line(f"{charset}_uca1400_{nopad}{strength}", charset, "uca1400", compared)

    # Byte by byte.
    for name, charset in (("binary", "binary"), ("utf8mb4_0900_bin", "utf8mb4")):
        line(name, charset, "-", "-")
    for charset in ("utf8mb4", "utf8mb3"):
        for nopad in ("", "nopad_"):
            line(f"{charset}_{nopad}bin", charset, "-", "-")

    # A weight for each byte.
    tables = []
    for charset in BYTES:
        names = sorted(name for name, (_, of_charset, _) in mysql_ids.items() if of_charset == charset)
        for name in names:
            weights = mysql.bytes(charset, name)
            if len(weights) < 256 and charset != "ascii":
                print(charset, "has codes that are no characters", file=sys.stderr)
                break
            simple = all(len(weight) == 1 for weight in weights.values())
            probe = "".join(map(chr, weights)) * 2
            [[whole]] = mysql.query(f"SELECT WEIGHT_STRING(CONVERT(%s USING {charset}) COLLATE {name})", probe)
            if not simple or whole != b"".join(weights[ord(c)] for c in probe):
                print(name, "has more than a weight per character", file=sys.stderr)
                continue
            same = name in mariadb_ids and mariadb.bytes(charset, name) == weights
            if name in mariadb_ids and not same:
                print(name, "differs on MariaDB", file=sys.stderr)
            table = {cp: tuple(w) for cp, w in weights.items()}
            if table not in tables:
                tables.append(table)
            compared = str(tables.index(table) + 1)
            line(name, charset, "bytes", f"#{compared}", None if same else "mysql")
            stem = name.removesuffix("_bin") if name.endswith("_bin") else name[:-3]
            nopad = f"{stem}_nopad{name.removeprefix(stem)}"
            if same and nopad in mariadb_ids:
                line(nopad, charset, "bytes", f"#{compared}")
    write("bytes", tables, 16)
    (FOLDER / "collations.txt").write_text("".join(f"{entry}\n" for entry in lines))
    mysql.drop()
    mariadb.drop()


if __name__ == "__main__":
    main()
