#!/usr/bin/env python3
"""Writes engine/mysql/src/collation/ascii.txt: how a MySQL server orders text of ASCII characters, by collation.

    scripts/servers.sh up mysql-gtid && scripts/collations.py >engine/mysql/src/collation/ascii.txt

The server is the only source: it gives the weights of each character by WEIGHT_STRING, in one run of
`scripts/servers.sh mysql`. The committed file came from MySQL 9.7.4.

A line is a collation: its name, `pad` or `nopad` (whether a shorter text is compared as if spaces followed), and for each level of
weights 128 numbers of two hexadecimal digits, one for each character, which stand in the order of the weights; equal weights have
equal numbers. 00 is a character that has no weight of its own, or several: text with it is not compared here. The second level of
`as_cs` is left out, because all ASCII characters have the same weight there.
"""

import pathlib
import subprocess

COLLATIONS = """utf8mb4_0900_ai_ci utf8mb4_0900_as_ci utf8mb4_0900_as_cs utf8mb4_general_ci utf8mb4_unicode_ci
    utf8mb4_unicode_520_ci utf8mb3_general_ci utf8mb3_unicode_ci latin1_swedish_ci latin1_general_ci latin1_general_cs
    ascii_general_ci utf8mb4_bin utf8mb4_0900_bin utf8mb3_bin latin1_bin ascii_bin""".split()
SERVERS = pathlib.Path(__file__).resolve().parent / "servers.sh"


def query(sql):
    output = subprocess.run([SERVERS, "mysql", "-N", "-e", sql], check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in output.splitlines()]


def levels(collation, weights):
    """The weights of a character, one per level, or None."""
    # Sixteen bits each in collations of Unicode, with a zero between levels.
    if collation.startswith("utf8mb4_0900_a"):
        units = [weights[at : at + 4] for at in range(0, len(weights), 4)]
        return units[::2] if units and all(unit == "0000" for unit in units[1::2]) and "0000" not in units[::2] else None
    if "_unicode_" in collation:
        return [weights] if len(weights) == 4 and weights != "0000" else None
    return [weights]


def ranks(weights):
    order = sorted({weight for weight in weights if weight is not None})
    assert len(order) < 256
    return "".join("00" if weight is None else f"{order.index(weight) + 1:02x}" for weight in weights)


def line(collation):
    charset = collation.split("_")[0]
    codes = ", ".join(f"HEX(WEIGHT_STRING(CONVERT(_ascii 0x{code:02x} USING {charset}) COLLATE {collation}))" for code in range(128))
    [[pad]] = query(f"SELECT PAD_ATTRIBUTE FROM information_schema.COLLATIONS WHERE COLLATION_NAME = '{collation}'")
    [weights] = query(f"SELECT {codes}")
    weights = [levels(collation, weight) for weight in weights]
    count = max(len(weight) for weight in weights if weight)
    assert all(weight is None or len(weight) == count for weight in weights), collation
    columns = [[weight and weight[level] for weight in weights] for level in range(count)]
    # A level on which all characters are alike decides nothing.
    columns = [column for column in columns if len({weight for weight in column if weight}) > 1]
    return " ".join([collation, "nopad" if pad == "NO PAD" else "pad", *map(ranks, columns)])


if __name__ == "__main__":
    for collation in COLLATIONS:
        print(line(collation))
