#!/usr/bin/env bash
# What telling how it goes costs a full load: nobody looks; HTTP is on, a client of /events listens, and /metrics and /status are fetched twice a
# second; the same and `tidegate status` once a second.
#
#   TIDEGATE_SERVERS=… scripts/servers.sh up mysql; scripts/bench_watch.sh [ROWS [TIMES]]
#
# ROWS rows (default 6000000) of (INT, VARCHAR(200) with 100 bytes) into `null`, one encoder and one reader so that threads do not
# compete, TIMES times (default 7), in turns. A line is `case, rows per CPU-second of each run; median; CPU-seconds of the threads that serve and monitor`.
# The program is the one of the release build, or TIDEGATE.
. "$(dirname "$0")/bench_common.sh"
rows=${1:-6000000}
times=${2:-7}

have=$(mysql -N -e "SET SESSION cte_max_recursion_depth = 1000, sql_log_bin = 0; CREATE DATABASE IF NOT EXISTS bench_watch; USE bench_watch;
    CREATE TABLE IF NOT EXISTS thousand (i INT PRIMARY KEY); CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY, content VARCHAR(200));
    INSERT IGNORE INTO thousand WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999) SELECT i FROM n; SELECT COUNT(*) FROM t")
if [ "$have" != "$rows" ]; then
    mysql bench_watch -e "SET sql_log_bin = 0; TRUNCATE t; INSERT INTO t SELECT i, REPEAT(LPAD(i, 10, 'x'), 10)
        FROM (SELECT a.i + 1000 * b.i + 1000000 * c.i + 1 AS i FROM thousand a, thousand b, thousand c WHERE c.i < 100) n WHERE i <= $rows; ANALYZE TABLE t" >/dev/null
fi

# watch PORT [COMMAND]: until it is killed.
watch() {
    python3 - "$1" "${2:-}" "$work/task.yaml" <<'PY'
import socket, subprocess, sys, time
port, command, task = int(sys.argv[1]), sys.argv[2], sys.argv[3]
def get(path, keep=False):
    s = socket.create_connection(("127.0.0.1", port))
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    if keep:
        s.setblocking(False)
        return s
    while s.recv(1 << 20): pass
events = None
beat = 0
while True:
    try:
        events = events or get("/events", True)
        get("/metrics"); get("/status")
        try: events.recv(1 << 20)
        except BlockingIOError: pass
        if command and beat % 2 == 0: subprocess.run([command, "status", task], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        beat += 1
    except OSError:
        events = None
    time.sleep(0.5)
PY
}
http=$((20000 + RANDOM % 10000))
# run CASE
run() {
    rm -rf "${work:?}/state"
    cat >"$work/task.yaml" <<TASK
task: bench_watch
source: {mysql: "mysql://tide@127.0.0.1:$port", password: tide}
tables: [bench_watch.t]
sink: {'null': {}, topic: '{table}'}
format: canal_json
incremental: false
threads: 1
full_load: {parallel: 1}
state: $work/state
TASK
    [ "$1" = nobody ] || echo "http: 127.0.0.1:$http" >>"$work/task.yaml"
    local watcher= pid
    "$tidegate" run "$work/task.yaml" >"$work/log" 2>&1 &
    pid=$!
    case $1 in
        http) watch "$http" & watcher=$! ;;
        http_and_status) watch "$http" "$tidegate" & watcher=$! ;;
    esac
    while kill -0 "$pid" 2>/dev/null; do
        for t in "/proc/$pid/task"/*; do awk '{ sub(/^[0-9]+ [(]/, ""); name = $0; sub(/[)] .*/, "", name); sub(/.*[)] /, ""); print name "=" $12 + $13 }' "$t/stat" 2>/dev/null || true; done >"$work/now"
        [ ! -s "$work/now" ] || mv "$work/now" "$work/threads"
        sleep 0.2
    done
    wait "$pid" || { cat "$work/log" >&2; exit 1; }
    [ -z "$watcher" ] || { kill "$watcher"; wait "$watcher" 2>/dev/null || true; }
    tail -1 "$work/log" | sed -E 's/.*CPU-seconds, ([0-9]+) rows per CPU-second.*/\1/' >>"$work/$1.rates"
    awk -F= '$1 !~ /snapshot|encode|transform/ { sum[$1] += $2 } END { for (name in sum) if (sum[name]) printf "%s %.2f; ", name, sum[name] / 100 }' "$work/threads" >"$work/$1.threads"
}
for ((time = 0; time < times; time++)); do
    for case in nobody http http_and_status; do run $case; done
done
echo "# case, rows per CPU-second of each run, median; threads other than readers and encoders in the last run"
for case in nobody http http_and_status; do
    echo "$case, $(paste -sd' ' "$work/$case.rates"), $(sort -n "$work/$case.rates" | sed -n "$(((times + 1) / 2))p"); $(cat "$work/$case.threads")"
done
mysql -e "SET sql_log_bin = 0; DROP DATABASE bench_watch"
