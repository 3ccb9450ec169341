"""Records the shop: a Parquet snapshot, then a binlog of changes, then what the server itself says the changes led to.

Called by record.sh with a server that nobody else uses: its binlog is reset. Everything random has a fixed seed, and the
session's clock is set, so that two recordings differ only in what the server makes up (its UUID, its version).
"""

import argparse
import datetime
import decimal
import json
import pathlib
import random
import re
import shutil
import ssl
import urllib.parse

import pyarrow
import pyarrow.parquet
import pymysql

SEED = 20260302
CUSTOMERS, ORDERS, CHANGES = 500, 2000, 1500
DAY_ONE = datetime.datetime(2026, 3, 2, 8, 0, 0)

# What the demo's task files say, and the server is asked for the same.
PROJECTIONS = {
    "customers": (
        ["id", "name", "city", "country", "credit"],
        "country IN ('DE', 'AT', 'CH') AND deleted_at IS NULL",
    ),
    "orders": (
        ["id", "customer_id", "status", "amount", "ordered_at"],
        "status <> 'cancelled' AND amount >= 20",
    ),
    "items": (
        ["order_id", "line", "sku", "quantity", "quantity * price AS total", "options"],
        "TRUE",
    ),
}

FIRST = ["Anna", "Björn", "Chloé", "Дарья", "Emeka", "Fatma", "Giulia", "Hannes", "İpek", "José", "Käthe", "Łukasz",
         "美咲", "Nils", "Oğuz", "Péter", "Quentin", "Rosa", "Søren", "Tomáš", "Ursula", "Víctor", "Wanjiru", "Zoë"]
LAST = ["Müller", "O'Brien", "Núñez", "Sørensen", "Kowalska", "Иванова", "佐藤", "Öztürk", "D’Angelo", "Smith", "Novák",
        "Horváth", "Okafor", "Lefèvre", "van der Berg", "Brandt", "Fischer", "Huber", "Keller", "Zürcher"]
CITIES = {
    "DE": ["Berlin", "Köln", "München", "Görlitz"], "AT": ["Wien", "Graz", "Sankt Pölten"], "CH": ["Zürich", "Genève"],
    "FR": ["Paris", "Besançon"], "PL": ["Łódź", "Kraków"], "JP": ["東京", "大阪"], "BR": ["São Paulo"], "TR": ["İzmir"],
}
NOTES = [None, None, None, "prefers invoices", "rings twice 🔔", "back\\slash and \"quotes\"", "two\nlines", ""]
COMMENTS = [None, None, None, None, "leave at the door", "Geschenk 🎁", "it's urgent", "100 % sure", "c/o Тётя Маша"]
SKUS = [("TEA-%03d" % n, decimal.Decimal(n * 137 % 4900 + 95) / 100) for n in range(1, 81)]
OPTIONS = [None, None, None, None, {"gift": True}, {"colour": "grün", "size": "L"}, {"engraving": "Für Omi ♥", "lines": [1, 2]},
           {"discount": 0.5, "why": None}]


class Shop:
    """The shop's state as its own software knows it, and the statements that change it."""

    def __init__(self, cursor):
        self.random = random.Random(SEED)
        self.cursor = cursor
        self.customers = {}  # id -> country
        self.orders = {}  # id -> number of lines
        self.next_customer = 1
        self.next_order = 100_001
        self.changes = 0

    def run(self, statement, *parameters):
        self.changes += self.cursor.execute(statement, parameters)

    def new_customer(self, now):
        r = self.random
        customer, self.next_customer = self.next_customer, self.next_customer + 1
        country = r.choice(["DE"] * 6 + ["AT", "AT", "CH"] + list(CITIES))
        born = None if r.random() < 0.2 else datetime.date(1940, 1, 1) + datetime.timedelta(days=r.randrange(25_000))
        credit = decimal.Decimal(r.choice([0, 0, 0, -1250, 500, 10_000, 123_456])) / 100
        deleted = now if r.random() < 0.05 else None
        row = (customer, f"{r.choice(FIRST)} {r.choice(LAST)}", f"customer{customer}@example.org", r.choice(CITIES[country]),
               country, born, credit, r.random() < 0.4, r.choice(NOTES), now.replace(microsecond=0), deleted)
        self.run("INSERT INTO customers VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s)", *row)
        self.customers[customer] = country

    def item(self, order, line):
        r = self.random
        sku, price = r.choice(SKUS)
        options = r.choice(OPTIONS)
        weight = None if r.random() < 0.3 else r.randrange(1, 4000) / 1000
        options = None if options is None else json.dumps(options, ensure_ascii=False)
        return (order, line, sku, r.choice([1, 1, 1, 2, 3, 10]), price, weight, options)

    def new_order(self, now):
        r = self.random
        order, self.next_order = self.next_order, self.next_order + r.choice([1, 1, 1, 2, 5])
        items = [self.item(order, line) for line in range(1, r.choice([1, 1, 2, 2, 3, 4, 4]) + 1)]
        amount = sum(item[3] * item[4] for item in items)
        status = r.choice(["new", "new", "paid", "paid", "shipped", "shipped", "shipped", "returned", "cancelled"])
        shipped = now.date() if status in ("shipped", "returned") else None
        self.run("INSERT INTO orders VALUES (%s,%s,%s,%s,%s,%s,%s)", order, r.choice(list(self.customers)), status, amount,
                 now, shipped, r.choice(COMMENTS))
        holes = ",".join(["(%s,%s,%s,%s,%s,%s,%s)"] * len(items))
        self.run(f"INSERT INTO items VALUES {holes}", *(value for item in items for value in item))
        self.orders[order] = len(items)

    def change(self, now):
        """One transaction."""
        r = self.random
        order = r.choice(list(self.orders))
        customer = r.choice(list(self.customers))
        kind = r.choices(
            ["new_order", "new_customer", "progress", "cancel", "reprice", "move", "close_account", "credit", "delete",
             "renumber", "swap_lines", "option", "give_up"],
            [14, 6, 16, 6, 10, 8, 4, 4, 5, 3, 3, 8, 3],
        )[0]
        if kind == "new_order":
            self.new_order(now)
        elif kind == "new_customer":
            self.new_customer(now)
        elif kind == "progress":
            self.run("UPDATE orders SET shipped_on = IF(status = 'paid', %s, shipped_on), status = ELT(status + 0, 'paid', 'shipped', "
                     "'returned', 'returned', 'new') WHERE id = %s", now.date(), order)
        elif kind == "cancel":  # leaves the demo's filter
            self.run("UPDATE orders SET status = 'cancelled', comment = %s WHERE id = %s", r.choice(COMMENTS), order)
        elif kind == "reprice":  # may cross the demo's filter in either direction
            self.run("UPDATE items SET quantity = %s WHERE order_id = %s AND line = 1", r.choice([1, 2, 4]), order)
            self.run("UPDATE orders SET amount = (SELECT SUM(quantity * price) FROM items WHERE order_id = %s) WHERE id = %s",
                     order, order)
        elif kind == "move":  # may cross the demo's filter in either direction
            country = r.choice(["DE", "AT", "CH", "FR", "PL", "JP"])
            self.run("UPDATE customers SET country = %s, city = %s WHERE id = %s", country, r.choice(CITIES[country]), customer)
        elif kind == "close_account":  # and opens it again
            self.run("UPDATE customers SET deleted_at = IF(deleted_at IS NULL, %s, NULL), note = NULL WHERE id = %s",
                     now.replace(microsecond=0), customer)
        elif kind == "credit":  # several rows in one statement
            self.run("UPDATE customers SET credit = credit + 5 WHERE newsletter = 1 AND id BETWEEN %s AND %s", customer, customer + 20)
        elif kind == "delete":
            self.run("DELETE FROM items WHERE order_id = %s", order)
            self.run("DELETE FROM orders WHERE id = %s", order)
            del self.orders[order]
        elif kind == "renumber":  # changes keys
            new, self.next_order = self.next_order, self.next_order + 1
            self.run("UPDATE orders SET id = %s WHERE id = %s", new, order)
            self.run("UPDATE items SET order_id = %s WHERE order_id = %s", new, order)
            self.orders[new] = self.orders.pop(order)
        elif kind == "swap_lines":  # two rows change places
            if self.orders[order] >= 2:
                self.run("UPDATE items SET line = 999 WHERE order_id = %s AND line = 1", order)
                self.run("UPDATE items SET line = 1 WHERE order_id = %s AND line = 2", order)
                self.run("UPDATE items SET line = 2 WHERE order_id = %s AND line = 999", order)
        elif kind == "option":
            self.run("UPDATE items SET options = JSON_SET(COALESCE(options, '{}'), '$.checked', %s) WHERE order_id = %s",
                     str(now.date()), order)
        elif kind == "give_up":  # nothing of it may ever be seen
            before = self.changes
            self.run("DELETE FROM customers WHERE id = %s", customer)
            self.cursor.connection.rollback()
            self.changes = before
            return
        self.cursor.connection.commit()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--server", required=True, help="mysql://user:password@host:port")
    arguments.add_argument("--data", required=True, type=pathlib.Path, help="the server's data folder")
    arguments.add_argument("--out", required=True, type=pathlib.Path)
    arguments = arguments.parse_args()
    server = urllib.parse.urlparse(arguments.server)
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE  # the server's certificate is of its own making
    connection = pymysql.connect(host=server.hostname, port=server.port, user=server.username, password=server.password,
                                 ssl=tls, charset="utf8mb4", autocommit=False)
    cursor = connection.cursor()
    for statement in ["SET time_zone = '+00:00'", "SET GLOBAL binlog_row_metadata = FULL", "RESET BINARY LOGS AND GTIDS",
                      "DROP DATABASE IF EXISTS shop", "CREATE DATABASE shop", "USE shop"]:
        cursor.execute(statement)
    schema = (pathlib.Path(__file__).parent / "shop/schema.sql").read_text()
    for statement in re.sub(r"--[^\n]*", "", schema).split(";"):
        if statement.strip():
            cursor.execute(statement)

    shop = Shop(cursor)
    now = DAY_ONE - datetime.timedelta(days=400)
    for _ in range(CUSTOMERS):
        now += datetime.timedelta(seconds=shop.random.randrange(1, 40_000))
        shop.new_customer(now)
    for _ in range(ORDERS):
        now += datetime.timedelta(seconds=shop.random.randrange(1, 7_000), microseconds=shop.random.randrange(1_000_000))
        shop.new_order(now)
    connection.commit()
    assert now < DAY_ONE, now
    snapshot = arguments.out / "snapshot"
    snapshot.mkdir(exist_ok=True)
    for table in PROJECTIONS:
        write_parquet(cursor, table, snapshot / f"shop.{table}.parquet")

    cursor.execute("FLUSH BINARY LOGS")
    shop.changes = 0
    now = DAY_ONE
    transactions = 0
    while shop.changes < CHANGES:
        now += datetime.timedelta(seconds=shop.random.randrange(60), microseconds=shop.random.randrange(1_000_000))
        cursor.execute("SET timestamp = %s", (now.replace(tzinfo=datetime.timezone.utc).timestamp(),))
        shop.change(now)
        transactions += 1
    cursor.execute("SET timestamp = DEFAULT")
    cursor.execute("FLUSH BINARY LOGS")
    binlog = "binlog.000002"
    cursor.execute("SHOW BINARY LOGS")
    assert [row[0] for row in cursor.fetchall()] == ["binlog.000001", binlog, "binlog.000003"], "somebody else uses the server"
    shutil.copyfile(arguments.data / binlog, arguments.out / binlog)
    (arguments.out / binlog).chmod(0o644)

    cursor.execute("SELECT VERSION()")
    expected = {"server": cursor.fetchone()[0], "changes": shop.changes, "transactions": transactions,
                "tables": [expect(cursor, table) for table in PROJECTIONS]}
    (arguments.out / "expected.json").write_text(json.dumps(expected, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(expected, indent=2, ensure_ascii=False))


def write_parquet(cursor, table, path):
    """The table as it is, with its definition under the key that Tidegate reads."""
    cursor.execute("SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, CHARACTER_SET_NAME, NUMERIC_PRECISION, NUMERIC_SCALE, "
                   "DATETIME_PRECISION FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'shop' AND TABLE_NAME = %s "
                   "ORDER BY ORDINAL_POSITION", (table,))
    columns, fields = [], []
    for name, kind, text, nullable, charset, precision, scale, fraction in cursor.fetchall():
        unsigned = "unsigned" in text
        width = {"tinyint": 1, "smallint": 2, "int": 4, "bigint": 8}.get(kind)
        if width:
            sql_type = {"Int": {"bytes": width, "unsigned": unsigned}}
            arrow = getattr(pyarrow, f"{'u' if unsigned else ''}int{width * 8}")()
        elif kind == "decimal":
            sql_type, arrow = {"Decimal": {"precision": precision, "scale": scale}}, pyarrow.decimal128(precision, scale)
        elif kind == "double":
            sql_type, arrow = "Double", pyarrow.float64()
        elif kind == "date":
            sql_type, arrow = "Date", pyarrow.date32()
        elif kind == "datetime":
            sql_type, arrow = {"DateTime": {"fraction": fraction}}, pyarrow.timestamp("us")
        elif kind == "timestamp":
            sql_type, arrow = {"Timestamp": {"fraction": fraction}}, pyarrow.timestamp("us", tz="UTC")
        elif kind == "enum":
            labels = [label.replace("''", "'") for label in re.findall(r"'((?:[^']|'')*)'", text)]
            sql_type, arrow = {"Enum": {"labels": labels}}, pyarrow.string()
        else:
            sql_type = {"char": "Char", "varchar": "VarChar", "text": "Text", "json": "Json"}[kind]
            arrow = pyarrow.string()
        columns.append({"name": name, "sql_type": sql_type, "type_text": text, "nullable": nullable == "YES", "charset": charset})
        fields.append(pyarrow.field(name, arrow, nullable == "YES"))
    names = [column["name"] for column in columns]

    cursor.execute("SELECT INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'shop' AND TABLE_NAME = %s "
                   "AND NON_UNIQUE = 0 ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX", (table,))
    keys = {}
    for key, column in cursor.fetchall():
        keys.setdefault(key, []).append(names.index(column))
    definition = {"name": {"database": "shop", "table": table}, "version": 1, "columns": columns,
                  "unique_keys": [{"name": name, "columns": indexes} for name, indexes in keys.items()]}

    cursor.execute(f"SELECT * FROM {table} ORDER BY {', '.join(names[index] for index in keys['PRIMARY'])}")
    rows = cursor.fetchall()
    schema = pyarrow.schema(fields, metadata={"tidegate.table": json.dumps(definition, ensure_ascii=False)})
    arrays = [pyarrow.array(values, field.type) for values, field in zip(zip(*rows), fields)]
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(arrays, schema=schema), path, row_group_size=(len(rows) + 3) // 4,
                                compression="zstd", compression_level=19)


def expect(cursor, table):
    """The server's own sums over the rows that a consumer must have in the end: each row's values joined by tabs."""
    columns, condition = PROJECTIONS[table]
    values = ", ".join(f"IFNULL({column.split(' AS ')[0]}, '\\\\N')" for column in columns)
    query = (f"SELECT COUNT(*), SUM(CRC32(line)), BIT_XOR(CRC32(line)) FROM "
             f"(SELECT CONCAT_WS('\\t', {values}) AS line FROM {table} WHERE {condition}) AS t")
    cursor.execute(query)
    count, total, xor = cursor.fetchone()
    names = [column.split(" AS ")[-1] for column in columns]
    return {"table": f"shop.{table}", "columns": names, "query": query, "rows": count, "crc32_sum": int(total), "crc32_xor": xor}


if __name__ == "__main__":
    main()
