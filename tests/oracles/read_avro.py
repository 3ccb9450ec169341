"""What fastavro, which knows nothing of Tidegate, reads in messages of the DTS Avro format.

    python read_avro.py record.avsc

Standard input: messages, each behind its length in four bytes, little-endian. Standard output: for each message, at once, a line of
JSON with all fields of the record. A branch of a union of images is told by its name, ["Character", {"charset": ..., "value": ...}],
and null is null; bytes are hexadecimal digits, in small letters; a field of the table is [name, number].

The first message that cannot be read, or that is longer than its record, ends the program with code 1 and the message's number,
counted from 1.
"""

import io
import json
import struct
import sys

import fastavro


def image(value):
    """What fastavro gives for a branch: None, (name, record), or the symbol alone of the only enumeration."""
    if value is None:
        return None
    if isinstance(value, str):
        return ["EmptyObject", value]
    name, value = value
    return [name.rpartition(".")[2], plain(value)]


def plain(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: plain(value) for key, value in value.items()}
    return value


def line(record):
    record = dict(record)
    if isinstance(record["fields"], list):
        record["fields"] = [[field["name"], field["dataTypeNumber"]] for field in record["fields"]]
    for images in ("beforeImages", "afterImages"):
        if isinstance(record[images], list):
            record[images] = [image(value) for value in record[images]]
    return json.dumps(record, ensure_ascii=False)


def main():
    schema = fastavro.schema.load_schema(sys.argv[1])
    messages, out = sys.stdin.buffer, sys.stdout.buffer
    number = 0
    while header := messages.read(4):
        number += 1
        try:
            if len(header) < 4:
                raise ValueError("its length is cut off")
            (length,) = struct.unpack("<I", header)
            message = messages.read(length)
            if len(message) < length:
                raise ValueError(f"it ends after {len(message)} bytes of {length}")
            datum = io.BytesIO(message)
            record = fastavro.schemaless_reader(datum, schema, None, return_record_name=True)
            if datum.tell() != length:
                raise ValueError(f"its record ends after {datum.tell()} bytes of {length}")
        except Exception as error:
            sys.exit(f"message {number}: {type(error).__name__}: {error}")
        out.write(line(record).encode() + b"\n")
        out.flush()


main()
