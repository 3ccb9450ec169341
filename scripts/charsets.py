#!/usr/bin/env python3
"""Writes the tables of engine/charset/src/tables/ from a MySQL server, and the golden text that the tests compare with.

Needs `pip install pymysql cryptography` and an account that may create a database; the server is the only source of every
code. It creates and drops the database `tidegate_charsets`. The committed files came from MySQL 9.7.4.

    scripts/charsets.py --port 3306 --user root [--password …]                          tables and golden.txt
    scripts/charsets.py --port 3306 --user root --collations                            prints the arms of `from_collation_id`
    scripts/charsets.py --port 3306 --user root --all FILE                              every code of every set, and random strings
    TIDEGATE_CHARSET_GOLDEN=FILE cargo test -p tidegate-charset                         compares them with the tables

What a table holds is what a client gets after SET NAMES utf8mb4: a character that is well formed but has no Unicode
character is the '?' (in tis620 the U+FFFD) that the server sends. A code that the server refuses to store is 0.

    single-byte set   u16 × 256
    multi-byte set    u16 × 256 for characters of one byte, then one plane; ujis and eucjpms have a second plane for the
                      codes that start with 8f; gb18030 then has pairs of u16, see below
    plane             row of each lead byte (u8 × 256, ff: none), first trail byte, trail bytes per row, u16 × row × trail
    gb18030 pairs     the four-byte codes below 90308130, counted 0, 1, …: (first, character) says that from the first on
                      the characters count up too; a character of 3f stands for itself until the next pair

golden.txt has a line "set, hex as stored, hex as sent in utf8mb4" per string, or "!" for what is refused.
"""

import argparse
import itertools
import pathlib
import random
import struct

import pymysql

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
FOLDER = REPOSITORY / "engine/charset/src/tables"
DATABASE = "tidegate_charsets"

SINGLE = """armscii8 cp1250 cp1251 cp1256 cp1257 cp850 cp852 cp866 dec8 geostd8 greek hebrew hp8 keybcs2 koi8r koi8u
    latin1 latin2 latin5 latin7 macce macroman swe7 tis620""".split()
MULTI = "big5 cp932 eucjpms euckr gb18030 gb2312 gbk sjis ujis".split()
BY_RULE = "ascii ucs2 utf16 utf16le utf32 utf8mb3 utf8mb4".split()
THREE_BYTES = ("ujis", "eucjpms")


class Server:
    def __init__(self, options):
        self.connection = pymysql.connect(host=options.host, port=options.port, user=options.user, password=options.password,
                                          charset="utf8mb4", autocommit=True, use_unicode=False, max_allowed_packet=1 << 26)
        self.run("SET SESSION sql_mode = 'STRICT_ALL_TABLES'")
        self.run(f"DROP DATABASE IF EXISTS {DATABASE}")
        self.run(f"CREATE DATABASE {DATABASE}")
        self.run(f"USE {DATABASE}")

    def run(self, statement):
        cursor = self.connection.cursor()
        cursor.execute(statement)
        return cursor.fetchall()

    def text(self, charset, codes):
        """What is sent for each byte string kept in a column of the set; None for those which the server refuses to keep."""
        texts = []
        for start in range(0, len(codes), 20_000):
            part = codes[start:start + 20_000]
            rows = ", ".join(f"({index}, CONVERT(0x{code.hex()} USING {charset}))" for index, code in enumerate(part))
            self.run(f"CREATE TEMPORARY TABLE kept (id INT PRIMARY KEY, code VARCHAR(200) CHARACTER SET {charset})")
            # Malformed bytes become NULL, or are left out with a warning; ucs2, utf16 and utf32 are filled up to whole characters.
            self.run(f"INSERT IGNORE INTO kept VALUES {rows}")
            for (sent, kept), code in zip(self.run("SELECT code, CAST(code AS BINARY) FROM kept ORDER BY id"), part):
                texts.append(sent if kept == code and is_utf8(sent) else None)
            self.run("DROP TEMPORARY TABLE kept")
        return texts


def is_utf8(sent):
    """False for lone surrogates, which ucs2 can store: the server sends them as three bytes that are not UTF-8."""
    try:
        sent.decode()
        return True
    except UnicodeDecodeError:
        return False


# ---- tables -----------------------------------------------------------------------------------------------------------

def unit(sent):
    """One character of the basic plane as a table holds it."""
    if sent is None:
        return 0
    character, = sent.decode()
    assert ord(character) <= 0xffff
    return ord(character)


def u16s(units):
    return struct.pack(f"<{len(units)}H", *units)


def plane(server, charset, prefix, leads):
    codes = [bytes(prefix + [lead, trail]) for lead in leads for trail in range(256)]
    units = dict(zip((code[-2:] for code in codes), server.text(charset, codes)))
    if charset in THREE_BYTES and not prefix:
        # Half-width katakana begin at 8ea1; the server keeps this one, but reads it as two broken bytes.
        assert units.pop(b"\x8e\xa0") == b"??"
    units = {code: unit(sent) for code, sent in units.items() if sent is not None}
    rows = sorted({code[0] for code in units})
    first, last = min(code[1] for code in units), max(code[1] for code in units)
    table = bytearray([rows.index(lead) if lead in rows else 0xff for lead in range(256)])
    table += bytes([first, last - first + 1])
    table += u16s([units.get(bytes([row, trail]), 0) for row in rows for trail in range(first, last + 1)])
    return bytes(table), len(units), sum(value == ord("?") for value in units.values())


def four_byte_codes():
    return [bytes(code) for code in itertools.product(range(0x81, 0xff), range(0x30, 0x3a), range(0x81, 0xff), range(0x30, 0x3a))]


def gb18030_pairs(server):
    codes = four_byte_codes()
    characters = [sent.decode() for sent in server.text("gb18030", codes)]
    first_beyond, first_astral = codes.index(bytes.fromhex("90308130")), 39420
    assert all(character == "?" for character in characters[first_astral:first_beyond])
    for count, character in enumerate(characters[first_beyond:]):
        assert character == (chr(0x10000 + count) if count < 0x100000 else "?"), count
    pairs = []
    for count, character in enumerate(map(ord, characters[:first_astral])):
        expected = None if not pairs else 0x3f if pairs[-1][1] == 0x3f else pairs[-1][1] + count - pairs[-1][0]
        if character != expected:
            pairs.append((count, character))
    return u16s([value for pair in pairs for value in pair])


def write_tables(server):
    for charset in SINGLE + MULTI:
        singles = [unit(sent) for sent in server.text(charset, [bytes([byte]) for byte in range(256)])]
        assert singles[0] == 0 and (charset == "swe7" or singles[:128] == list(range(128)))
        assert charset in MULTI or 0 not in singles[1:]
        table, count, unmapped = u16s(singles), sum(value != 0 for value in singles) + 1, singles.count(ord("?")) - 1
        if charset in MULTI:
            leads = [byte for byte in range(128, 256) if singles[byte] == 0]
            planes = [plane(server, charset, [], [lead for lead in leads if charset not in THREE_BYTES or lead != 0x8f])]
            if charset in THREE_BYTES:
                planes.append(plane(server, charset, [0x8f], range(128, 256)))
            for part, part_count, part_unmapped in planes:
                table, count, unmapped = table + part, count + part_count, unmapped + part_unmapped
        if charset == "gb18030":
            table += gb18030_pairs(server)
        (FOLDER / f"{charset}.bin").write_bytes(table)
        print(f"{charset}: {len(table)} bytes, {count} codes of one to three bytes, {unmapped} of them sent as '?'")


# ---- golden text --------------------------------------------------------------------------------------------------------

def random_string(rng, charset, known):
    """Mostly whole characters of the set, sometimes any bytes."""
    pieces = []
    for _ in range(rng.randrange(1, 9)):
        kind = rng.random()
        if kind < 0.6:
            pieces.append(rng.choice(known))
        elif kind < 0.97:
            width = {"ucs2": 2, "utf16": 2, "utf16le": 2, "utf32": 4}.get(charset, 1)
            pieces.append(rng.choice(b"az09 ?~\\").to_bytes(width, "little" if charset == "utf16le" else "big"))
        else:
            pieces.append(rng.randbytes(rng.randrange(1, 5)))
    return b"".join(pieces)


def characters_of(charset):
    """Codes that cover the set: all of them, well formed or not."""
    if charset in SINGLE or charset == "ascii":
        return [bytes([byte]) for byte in range(256)]
    if charset in MULTI:
        codes = [bytes([byte]) for byte in range(256)] + [bytes(code) for code in itertools.product(range(128, 256), range(256))]
        if charset in THREE_BYTES:
            codes += [bytes([0x8f, *code]) for code in itertools.product(range(128, 256), range(256))]
        return codes + (four_byte_codes() if charset == "gb18030" else [])
    if charset in ("ucs2", "utf16", "utf16le"):
        codes = [struct.pack("<H" if charset == "utf16le" else ">H", code) for code in range(0x10000)]
        if charset != "ucs2":
            name = "utf-16-le" if charset == "utf16le" else "utf-16-be"
            codes += [chr(code).encode(name) for code in range(0x10000, 0x110000, 61)]
        return codes
    if charset == "utf32":
        return [struct.pack(">I", code) for code in itertools.chain(range(0x10000), range(0x10000, 0x111000, 61))]
    codes = [chr(code).encode("utf-8", "surrogatepass") for code in itertools.chain(range(0x10000), range(0x10000, 0x110000, 61))]
    return codes + [bytes(code) for code in itertools.product(range(128, 256), range(256))]


def golden_lines(server, strings_per_set, every, seed):
    known_sets = [name.decode() for name, in server.run("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS")]
    for charset in SINGLE + MULTI + BY_RULE:
        if charset not in known_sets:
            print(f"the server has no {charset}")
            continue
        rng = random.Random(f"{seed} {charset}")
        codes = characters_of(charset)
        known = [code for code in rng.sample(codes, min(len(codes), 3000)) if code]
        known = [code for code, sent in zip(known, server.text(charset, known)) if sent is not None]
        if every:
            chosen = codes
        elif charset in SINGLE:
            chosen = [bytes(range(256))[start:start + 64] for start in range(0, 256, 64)]
        else:
            chosen = rng.sample(codes, 25) + rng.sample(known, 25)
        chosen = chosen + [random_string(rng, charset, known) for _ in range(strings_per_set)]
        for code, sent in zip(chosen, server.text(charset, chosen)):
            if charset == "ascii" and not code.isascii():
                continue  # Refused by MySQL 8 and 9, kept and sent as '?' by MySQL 5.6 and by MariaDB.
            yield f"{charset}\t{code.hex()}\t{'!' if sent is None else sent.hex()}"


def print_collations(server):
    rows = server.run("SELECT CHARACTER_SET_NAME, ID FROM information_schema.COLLATIONS ORDER BY 1, 2")
    for charset, group in itertools.groupby(rows, key=lambda row: row[0].decode()):
        ranges = []
        for _, identifier in group:
            if ranges and ranges[-1][1] == identifier - 1:
                ranges[-1][1] = identifier
            else:
                ranges.append([identifier, identifier])
        patterns = " | ".join(str(first) if first == last else f"{first}..={last}" for first, last in ranges)
        print(f"{patterns} => Charset::{charset.capitalize()},")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3306)
    parser.add_argument("--user", default="root")
    parser.add_argument("--password", default="")
    parser.add_argument("--collations", action="store_true", help="print the collations and stop")
    parser.add_argument("--all", type=pathlib.Path, metavar="FILE", help="write every code there and stop")
    options = parser.parse_args()
    server = Server(options)
    if options.collations:
        print_collations(server)
    elif options.all:
        options.all.write_text("".join(line + "\n" for line in golden_lines(server, 2000, True, 2)))
    else:
        FOLDER.mkdir(parents=True, exist_ok=True)
        write_tables(server)
        (FOLDER / "golden.txt").write_text("".join(line + "\n" for line in golden_lines(server, 9, False, 1)))
    server.run(f"DROP DATABASE {DATABASE}")


if __name__ == "__main__":
    main()
