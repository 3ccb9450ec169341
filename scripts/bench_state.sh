#!/usr/bin/env bash
# What a task's state costs: the same rows in few chunks and in many, many small tables, and few tables of many.
#
#   TIDEGATE_SERVERS=… scripts/servers.sh up mysql; scripts/bench_state.sh ROWS CHUNK_ROWS...
#
# ROWS rows (default 20000000) are loaded into `null` in chunks of each CHUNK_ROWS (default 20000 200); then 3,000 tables of two rows,
# and 3 tables of 50,000 (TIDEGATE_BENCH_TABLES, at least 4,712). Prints, for each: chunks or tables, seconds, CPU-seconds, peak MiB, bytes of state.
# The program is the one of the release build, or TIDEGATE.
. "$(dirname "$0")/bench_common.sh"
rows=${1:-20000000}
shift || true
[ $# -gt 0 ] || set -- 20000 200
tables=${TIDEGATE_BENCH_TABLES:-50000}

# run NAME TABLES FULL_LOAD: a task of its own, and a line about it.
run() {
    cat > "$work/$1.yaml" <<TASK
task: $1
source: {mysql: "mysql://tide@127.0.0.1:$port", password: tide}
tables: $2
sink: {'null': {}, topic: '{table}'}
format: canal_json
incremental: false
full_load: $3
state: $work/$1
TASK
    "$tidegate" run "$work/$1.yaml" > "$work/$1.log" 2>&1 || { cat "$work/$1.log" >&2; exit 1; }
    chunks=$("$tidegate" state "$work/$1.yaml" --json | python3 -c '
import json, sys
print(sum(table["chunks"]["done"] for table in json.load(sys.stdin)["full_load"]["tables"]))')
    printf '%s: %s chunks; %s; %s bytes of state\n' "$1" "$chunks" "$(tail -1 "$work/$1.log")" "$(stat -c %s "$work/$1/checkpoint")"
}

if [ "$(mysql -N -e "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'bench_state'")" != 1 ]; then
    mysql -e "CREATE DATABASE bench_state; CREATE TABLE bench_state.t (id INT PRIMARY KEY, a INT, b VARCHAR(20))"
fi
have=$(mysql -N -e "SELECT COALESCE(MAX(id), 0) FROM bench_state.t")
while [ "$have" -lt "$rows" ]; do
    next=$((have + 1000000 < rows ? have + 1000000 : rows))
    mysql -e "SET SESSION cte_max_recursion_depth = 2000000, sql_log_bin = 0; INSERT INTO bench_state.t
        WITH RECURSIVE n (i) AS (SELECT $have + 1 UNION ALL SELECT i + 1 FROM n WHERE i < $next)
        SELECT i, i * 7 % 1000003, CONCAT('row ', i) FROM n"
    have=$next
done
mysql -e "ANALYZE TABLE bench_state.t" > /dev/null
for chunk_rows in "$@"; do
    run "chunks_of_$chunk_rows" '[bench_state.t]' "{chunk_rows: $chunk_rows}"
done

# make DATABASE COUNT: tables of two rows.
make() {
    have=$(mysql -N -e "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '$1'")
    [ "$have" -lt "$2" ] || return 0
    {
        echo "SET sql_log_bin = 0; CREATE DATABASE IF NOT EXISTS $1; USE $1;"
        for ((table = have; table < $2; table++)); do
            echo "CREATE TABLE t$table (id INT PRIMARY KEY, a INT); INSERT INTO t$table VALUES (1, 1), (2, 2);"
        done
    } | mysql
}
make bench_state_small 3000
run small_tables '[bench_state_small.*]' true
make bench_state_many "$tables"
run few_of_many "['/bench_state_many[.]t(1|7|4711)/']" true
