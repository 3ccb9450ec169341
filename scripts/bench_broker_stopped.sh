#!/usr/bin/env bash
# What a task costs while its only broker stands still (SIGSTOP: connections stay, nothing answers), and whether anything is lost.
#
#   TIDEGATE_SERVERS=… scripts/servers.sh up mysql kafka; scripts/bench_broker_stopped.sh [SECONDS]
#
# The broker is stopped for SECONDS (default 25) in the middle of a full load of 2,000,000 rows (TIDEGATE_BENCH_ROWS), in the middle of as many changes, and behind a
# single change, with 4 and with 64 partitions, and once with headers. A line is `case, CPU-seconds of the process after 1, 5, 10, … s of
# standing still, threads that had most of it, what verify says at the end`. The program is the one of the release build, or TIDEGATE.
. "$(dirname "$0")/bench_common.sh"
stopped_s=${1:-25}
rows=${TIDEGATE_BENCH_ROWS:-2000000}
broker=$(cat "$TIDEGATE_SERVERS/kafka/pid")
pid=
trap 'kill -CONT "$broker"; [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT

# task NAME TABLE PARTITIONS [HEADERS]
task() {
    rm -rf "${work:?}/$1"
    drop_topic "$1"
    cat >"$work/$1.yaml" <<TASK
task: $1
source: {mysql: "mysql://tide@127.0.0.1:$port", password: tide}
tables: [bench_stopped.$2]
sink:
  kafka: "$TIDEGATE_TEST_KAFKA"
  topic: $1
  create_topics: {partitions: $3, replication: 1, config: {file.delete.delay.ms: 100}}
${4:+  headers: [$4]}
format: canal_json
state: $work/$1
TASK
}
cpu() { awk '{ print $14 + $15 }' "/proc/$pid/stat"; }
threads() { for t in "/proc/$pid/task"/*; do awk '{ sub(/^[0-9]+ [(]/, ""); name = $0; sub(/[)] .*/, "", name); sub(/.*[)] /, ""); print $12 + $13, name }' "$t/stat"; done 2>/dev/null | awk '{ at = $1; sub(/^[0-9]+ /, ""); sum[$0] += at } END { for (name in sum) print name "=" sum[name] }' | sort; }

# stand_still CASE NAME [ARGS]: behind so many messages; the task runs to `--until now` of its start if ARGS say so.
stand_still() {
    local case=$1 name=$2 from at line second
    # With what was in flight.
    kill -STOP "$broker"
    from=$(cpu)
    threads >"$work/threads"
    line=
    for ((second = 1; second <= stopped_s; second++)); do
        sleep 1
        if [ $second = 1 ] || [ $((second % 5)) = 0 ]; then
            at=$(cpu)
            line+=" $(awk "BEGIN { printf \"%.2f\", ($at - $from) / 100 }")"
        fi
    done
    local most
    most=$(join -t= "$work/threads" <(threads) | awk -F= '$3 > $2 { print ($3 - $2) / 100, $1 }' | sort -rn | head -4 | sed 's/^\([0-9.]*\) \(.*\)/\2 \1/' | paste -sd';')
    kill -CONT "$broker"
    local began=$EPOCHREALTIME
    if [ "$case" = "one change" ]; then sleep 15; kill -TERM "$pid"; fi
    local code=0
    wait "$pid" || code=$?
    pid=
    echo "$case,$line, $most; $(awk "BEGIN { printf \"%.0f\", $EPOCHREALTIME - $began }") s to the end, exit code $code; $("$tidegate" verify "$work/$name.yaml" 2>/dev/null | sed -n 2p | tr -s ' ')"
    drop_topic "$name"
}

# messages NAME: delivered so far.
messages() { "$tidegate" status "$work/$1.yaml" --json 2>/dev/null | python3 -c '
import json, sys
try: print(json.load(sys.stdin)["total"]["messages"])
except Exception: print(0)'; }
start() { "$tidegate" run "$work/$1.yaml" "${@:2}" >"$work/$1.log" 2>&1 & pid=$!; }
wait_for() { until [ "$(messages "$1")" -gt "$2" ]; do sleep 0.05; done; }

mysql -e "DROP DATABASE IF EXISTS bench_stopped; CREATE DATABASE bench_stopped; SET SESSION cte_max_recursion_depth = 1000, sql_log_bin = 0; USE bench_stopped;
    CREATE TABLE thousand (i INT PRIMARY KEY);
    INSERT IGNORE INTO thousand WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999) SELECT i FROM n;
    CREATE TABLE loaded (id INT PRIMARY KEY, a INT, b VARCHAR(20)); CREATE TABLE changed LIKE loaded; CREATE TABLE one LIKE loaded;
    INSERT INTO loaded SELECT i, i * 7, CONCAT('row ', i) FROM (SELECT a.i + 1000 * b.i + 1000000 * c.i + 1 AS i
        FROM thousand a, thousand b, thousand c WHERE c.i < 10) n WHERE i <= $rows; ANALYZE TABLE loaded" >/dev/null

echo "# case, CPU-seconds after 1, 5, 10, … s, threads; the end; verify: table, verdict, source rows, topic rows, missing, extra, different"
for kind in '4 partitions|4|' '64 partitions|64|' '4 partitions, headers|4|op, table'; do
    IFS='|' read -r what partitions headers <<<"$kind"
    name=bench_stopped_load
    task $name loaded "$partitions" "$headers"
    start $name --until now
    wait_for $name 300000
    stand_still "load, $what" $name

    name=bench_stopped_changes
    task $name changed "$partitions" "$headers"
    mysql -e "TRUNCATE bench_stopped.changed"
    "$tidegate" run "$work/$name.yaml" --until now >/dev/null 2>&1
    for ((from = 0; from < rows; from += 100000)); do
        echo "INSERT INTO bench_stopped.changed SELECT * FROM bench_stopped.loaded WHERE id > $from AND id <= $((from + 100000));"
    done | mysql
    start $name --until now
    wait_for $name 300000
    stand_still "changes, $what" $name
    mysql -e "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY"
done
name=bench_stopped_one
task $name one 4
start $name
sleep 3
mysql -e "INSERT INTO bench_stopped.one VALUES (1, 1, 'before')"
wait_for $name 0
kill -STOP "$broker"
mysql -e "INSERT INTO bench_stopped.one VALUES (2, 2, 'meanwhile')"
stand_still "one change" $name
mysql -e "DROP DATABASE bench_stopped"
