#!/usr/bin/env bash
# What cutting a table into chunks costs for each kind of key: the same rows under other keys, full load into `null`.
#
#   TIDEGATE_SERVERS=… scripts/servers.sh up mysql; scripts/bench_keys.sh [ROWS [TIMES]]
#
# ROWS rows (default 1000000) of a key and (a INT, b VARCHAR(50)), in chunks of 100,000 and 10,000, and, to compare, in one; each TIMES times
# (default 5), all kinds in turns. A line is `kind, chunk_rows, chunks, rows, seconds, rows/s, CPU-seconds, rows per CPU-second, of the even key,
# server's CPU-seconds`: wall and CPU each of the best run. The program is the one of the release build, or TIDEGATE. Needs 2 GB of disk.
. "$(dirname "$0")/bench_common.sh"
rows=${1:-1000000}
times=${2:-5}
server=$(cat "$TIDEGATE_SERVERS/mysql/pid")
server_cpu() { awk '{ print $14 + $15 }' "/proc/$server/stat"; }

kinds=()
# kind NAME COLUMNS KEY VALUES [BEHIND]: a table; VALUES are those of COLUMNS, of `i` from 1 on.
kind() {
    kinds+=("$1")
    local names
    names=$(sed -E "s/[(][^()]*[)]//g; s/ *([a-z0-9_]+) [^,]*/\1/g" <<<"$2")
    [ "$(mysql -N -e "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'bench_keys' AND TABLE_NAME = '$1'")" = 0 ] || return 0
    mysql bench_keys -e "SET sql_log_bin = 0; DROP TABLE IF EXISTS making; CREATE TABLE making ($2, a INT, b VARCHAR(50), $3) ${5:-};
        INSERT INTO making ($names, a, b) SELECT $4, i * 7, CONCAT('row ', i, ' of a table that has a key')
        FROM (SELECT a.i + 1000 * b.i + 1000000 * c.i + 1 AS i FROM thousand a, thousand b, thousand c WHERE c.i < 10) n WHERE i <= $rows ORDER BY 1;
        ANALYZE TABLE making; RENAME TABLE making TO $1" >/dev/null
}
mysql -e "CREATE DATABASE IF NOT EXISTS bench_keys; SET SESSION cte_max_recursion_depth = 1000, sql_log_bin = 0;
    CREATE TABLE IF NOT EXISTS bench_keys.thousand (i INT PRIMARY KEY); INSERT IGNORE INTO bench_keys.thousand
    WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999) SELECT i FROM n"
kind even 'id INT' 'PRIMARY KEY (id)' i
# Nine tenths in one dense range, between and behind gaps of 10^12.
kind skewed 'id BIGINT' 'PRIMARY KEY (id)' 'IF(i % 10 = 0, (i DIV 10 - 50000) * 1000000000000, 777000000000 + i)'
kind uuid_ai_ci 'id CHAR(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci' 'PRIMARY KEY (id)' "INSERT(INSERT(INSERT(INSERT(LEFT(SHA2(i, 256), 32), 9, 0, '-'), 14, 0, '-'), 19, 0, '-'), 24, 0, '-')"
kind uuid_ascii_bin 'id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin' 'PRIMARY KEY (id)' "INSERT(INSERT(INSERT(INSERT(LEFT(SHA2(i, 256), 32), 9, 0, '-'), 14, 0, '-'), 19, 0, '-'), 24, 0, '-')"
kind binary16 'id BINARY(16)' 'PRIMARY KEY (id)' 'UNHEX(LEFT(SHA2(i, 256), 32))'
kind decimal_20_4 'id DECIMAL(20,4)' 'PRIMARY KEY (id)' 'i * 12345.6789'
kind date_int 'day DATE, id INT' 'PRIMARY KEY (day, id)' "'2020-01-01' + INTERVAL i DIV 1000 DAY, i"
kind bigint_unsigned 'id BIGINT UNSIGNED' 'PRIMARY KEY (id)' '9223372036854775808 + i * 1000'
kind enum_int "kind ENUM('new','paid','sent','back') NOT NULL, id INT" 'PRIMARY KEY (kind, id)' 'i % 4 + 1, i'
kind keyless 'id INT' 'KEY (id)' i
kind keyless_chunk_by 'id INT' 'KEY (id)' i
kind partitioned 'id INT' 'PRIMARY KEY (id)' i 'PARTITION BY HASH (id) PARTITIONS 16'
kind range_partitioned 'id INT' 'PRIMARY KEY (id)' i "PARTITION BY RANGE (id) ($(for p in {1..9}; do printf 'PARTITION p%d VALUES LESS THAN (%d), ' "$p" $((p * rows / 10)); done) PARTITION p10 VALUES LESS THAN MAXVALUE)"

for ((time = 0; time < times; time++)); do
    for chunk_rows in 100000 10000 100000000; do
        for kind in "${kinds[@]}"; do
            table="{table: bench_keys.$kind}"
            [ "$kind" != keyless_chunk_by ] || table="{table: bench_keys.$kind, chunk_by: [id]}"
            rm -rf "${work:?}/state"
            cat >"$work/task.yaml" <<TASK
task: bench_keys
source: {mysql: "mysql://tide@127.0.0.1:$port", password: tide}
tables: [$table]
sink: {'null': {}, topic: '{table}'}
format: canal_json
incremental: false
full_load: {chunk_rows: $chunk_rows}
state: $work/state
TASK
            before=$(server_cpu)
            "$tidegate" run "$work/task.yaml" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
            chunks=$("$tidegate" state "$work/task.yaml" --json | python3 -c '
import json, sys
print(sum(table["chunks"]["done"] for table in json.load(sys.stdin)["full_load"]["tables"]))')
            echo "$kind $chunk_rows $chunks $(tail -1 "$work/log" | sed -E 's/^.*Z INFO[^:]*: //; s/^[^0-9]*([0-9]+) rows.* in ([0-9.]+) s .*; ([0-9.]+) CPU-seconds.*/\1 \2 \3/') $(($(server_cpu) - before))"
        done
    done
done | tee "$work/runs" >&2

echo "# kind, chunk_rows, chunks, rows, seconds, rows/s, CPU-seconds, rows per CPU-second, of the even key's per second, per CPU-second, server's CPU-seconds"
python3 - "$work/runs" <<'PY'
import sys
best, order = {}, []
for line in open(sys.argv[1]):
    kind, chunk_rows, chunks, rows, seconds, cpu, server = line.split()
    key = (int(chunk_rows), kind)
    if key not in best:
        order.append(key)
        best[key] = [int(rows), 1e9, 1e9, 1e9, chunks]
    found = best[key]
    found[1], found[2], found[3] = min(found[1], float(seconds)), min(found[2], float(cpu)), min(found[3], int(server) / 100)
for key in sorted(order, key=lambda key: (key[0] == 10**8, -key[0])):
    rows, seconds, cpu, server, chunks = best[key]
    even = best[(key[0], "even")]
    size = "all" if key[0] == 10**8 else key[0]
    print(f"{key[1]}, {size}, {chunks}, {rows}, {seconds:.2f}, {rows / seconds:.0f}, {cpu:.2f}, {rows / cpu:.0f}, "
          f"{even[1] / seconds:.0%}, {even[2] / cpu:.0%}, {server:.2f}")
PY
