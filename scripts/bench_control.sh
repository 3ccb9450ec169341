#!/usr/bin/env bash
# How soon a task answers who controls it, while it is at work: in a full load, and in changes, both as fast as they go.
#
#   TIDEGATE_SERVERS=… scripts/servers.sh up mysql kafka; scripts/bench_control.sh [ROWS [TIMES]]
#
# ROWS rows (default 6000000) of (INT, VARCHAR(200) with 100 bytes) into Kafka, each command TIMES times (default 20), one after the other. A line
# is `phase, command, median and most of milliseconds`, from the start of the command to its end: so the start of the program is in it. The bar is 1 s.
# The program is the one of the release build, or TIDEGATE.
. "$(dirname "$0")/bench_common.sh"
rows=${1:-6000000}
times=${2:-20}

mysql -e "SET SESSION cte_max_recursion_depth = 1000; DROP DATABASE IF EXISTS bench_control; CREATE DATABASE bench_control; USE bench_control;
    CREATE TABLE thousand (i INT PRIMARY KEY); CREATE TABLE t (id INT PRIMARY KEY, content VARCHAR(200));
    INSERT INTO thousand WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999) SELECT i FROM n;
    SET sql_log_bin = 0; INSERT INTO t SELECT i, REPEAT(LPAD(i, 10, 'x'), 10)
        FROM (SELECT a.i + 1000 * b.i + 1000000 * c.i + 1 AS i FROM thousand a, thousand b, thousand c WHERE c.i < 100) n WHERE i <= $rows; ANALYZE TABLE t" >/dev/null
cat >"$work/task.yaml" <<TASK
task: bench_control
source: {mysql: "mysql://tide@127.0.0.1:$port", password: tide}
tables: [bench_control.t]
sink: {kafka: "$TIDEGATE_TEST_KAFKA", topic: bench_control, create_topics: {partitions: 3, replication: 1}}
format: canal_json
state: $work/state
TASK

# measure PHASE: that it is at work in this phase is seen before and behind.
measure() {
    python3 - "$tidegate" "$work/task.yaml" "$1" "$times" <<'PY'
import json, subprocess, sys, time
program, task, phase, times = sys.argv[1:4] + [int(sys.argv[4])]
commands = {"status": ["status"], "pause": ["pause"], "resume": ["resume"], "limit": ["limit", "--rows-per-second", "100000000"],
            "reload --cancel": ["reload", "bench_control.t", "--cancel"]}
def at_work():
    report = json.loads(subprocess.run([program, "status", task, "--json"], capture_output=True, check=True).stdout)
    return report["phase"], report["total"]["changes"]
deadline = time.monotonic() + 120
while subprocess.run([program, "status", task], capture_output=True).returncode == 2:
    assert time.monotonic() < deadline, "it does not run"
    time.sleep(0.1)
first = at_work()
while (now := at_work())[0] != phase or now[1] == first[1]:
    assert time.monotonic() < deadline, now
    time.sleep(0.1)
took = {name: [] for name in commands}
before = at_work()
for _ in range(times):
    for name, (command, *options) in commands.items():
        begun = time.monotonic()
        ended = subprocess.run([program, command, task, *options], capture_output=True, text=True)
        took[name].append(1000 * (time.monotonic() - begun))
        # Nothing is asked for that could be taken back: that is an answer, too.
        assert ended.returncode == 0 or "is not asked for" in ended.stderr, (name, ended)
behind = at_work()
assert behind[0] == phase and behind[1] > before[1], f"{phase} is over: {before}, {behind}; give it more rows"
for name, all in took.items():
    print(f"{phase}, {name}, {sorted(all)[len(all) // 2]:.0f}, {max(all):.0f}", flush=True)
PY
}
pid=
writers=()
stop() {
    [ $? = 0 ] || tail -3 "$work/log" >&2
    [ ${#writers[@]} = 0 ] || kill "${writers[@]}" 2>/dev/null || true
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    wait
    rm -rf "$work"
}
trap stop EXIT

# One that was cut off has left it.
drop_topic bench_control
echo "# phase, command, median and most of milliseconds"
"$tidegate" run "$work/task.yaml" >"$work/log" 2>&1 &
pid=$!
measure full_load
until grep -q "full load complete" "$work/log"; do kill -0 "$pid"; sleep 0.2; done
# Two that change as many rows a second as the server lets them.
for part in 0 1; do
    while :; do mysql bench_control -e "UPDATE t SET content = REVERSE(content) WHERE id <= 200000 AND id % 2 = $part"; done &
    writers+=($!)
done
measure incremental
kill "${writers[@]}"; wait "${writers[@]}" 2>/dev/null || true
writers=()
kill "$pid"
wait "$pid" || true
pid=
drop_topic bench_control
mysql -e "DROP DATABASE bench_control"
