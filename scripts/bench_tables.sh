#!/usr/bin/env bash
# Where the time of many small tables goes: phases of a full load of TABLES tables of two rows, and what the server is asked in each.
#
#   TIDEGATE_SERVERS=… scripts/servers.sh up mysql; scripts/bench_tables.sh [TABLES [TIMES]]
#
# TABLES (default 3000) tables, as scripts/bench_state.sh makes them, into `null`, TIMES times (default 5). The server's general log says when what was asked;
# CPU time of server and task is looked at every 10 ms. A line is `phase, seconds, CPU-seconds of the task, of the server, statements`, of the
# quickest run. The program is the one of the release build, or TIDEGATE.
. "$(dirname "$0")/bench_common.sh"
tables=${1:-3000}
times=${2:-5}
trap 'mysql -e "SET GLOBAL general_log = OFF"; rm -rf "$work"' EXIT

have=$(mysql -N -e "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'bench_state_small'")
if [ "$have" -lt "$tables" ]; then
    {
        echo "SET sql_log_bin = 0; CREATE DATABASE IF NOT EXISTS bench_state_small; USE bench_state_small;"
        for ((table = have; table < tables; table++)); do
            echo "CREATE TABLE t$table (id INT PRIMARY KEY, a INT); INSERT INTO t$table VALUES (1, 1), (2, 2);"
        done
    } | mysql
fi
cat >"$work/task.yaml" <<TASK
task: bench_tables
source: {mysql: "mysql://tide@127.0.0.1:$port", password: tide}
tables: [bench_state_small.*]
sink: {'null': {}, topic: '{table}'}
format: canal_json
incremental: false
state: $work/state
TASK
server=$(cat "$TIDEGATE_SERVERS/mysql/pid")
mysql -e "SET GLOBAL log_output = 'FILE'; SET GLOBAL log_timestamps = 'UTC'"
for ((time = 0; time < times; time++)); do
    rm -rf "${work:?}/state" "$work/general-$time"
    mysql -e "SET GLOBAL general_log_file = '$work/general-$time'; SET GLOBAL general_log = ON"
    python3 - "$tidegate" "$work/task.yaml" "$server" "$work/general-$time" "$work/run-$time" <<'PY'
import collections, datetime, json, os, subprocess, sys, time
program, task, server, log, out = sys.argv[1:]
def cpu(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
run = subprocess.Popen([program, "run", task], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
samples = []
begin = time.time()
while run.poll() is None:
    try: samples.append((time.time(), cpu(run.pid), cpu(server)))
    except (FileNotFoundError, IndexError, ProcessLookupError): pass
    time.sleep(0.01)
end = time.time()
assert run.returncode == 0, run.stdout.read().decode()
asked = []
for line in open(log, errors="replace"):
    parts = line.rstrip("\n").split("\t", 2)
    if len(parts) == 3 and parts[0][:2] == "20" and "tidegate" not in parts[2][:12]:
        at = datetime.datetime.fromisoformat(parts[0].replace("Z", "+00:00")).timestamp()
        asked.append((at, parts[1].split()[-1], parts[2]))
def first(word, after=0, last=False):
    found = [at for at, _, sql in asked if word in sql and at > after]
    return (found[-1] if last else found[0]) if found else end
lists = "TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES"
catalogue = first(lists)
replicas = first("SHOW REPLICAS")
create = first("SHOW CREATE TABLE")
again = first(lists, catalogue)
load = first("SELECT CAST(MIN", again)
load = min(load, first("LIMIT 0", again))
loaded = first("COMMIT", load, True)
edges = [("start, login, settings", begin, catalogue), ("catalogue", catalogue, replicas), ("checks, lock, state", replicas, create),
    ("SHOW CREATE TABLE", create, again), ("catalogue again, plans", again, load), ("views and rows", load, loaded), ("end", loaded, end)]
def at(moment, which):
    best = [sample[which] for sample in samples if sample[0] <= moment]
    return best[-1] if best else samples[0][which]
phases = []
for name, a, b in edges:
    kinds = collections.Counter()
    for moment, kind, sql in asked:
        if a <= moment < b and kind in ("Query", "Prepare", "Execute"):
            kinds[kind.lower() if kind != "Query" else " ".join(sql.split()[:2])] += 1
    phases.append((name, b - a, at(b, 1) - at(a, 1) if b < end else samples[-1][1] - at(a, 1), at(b, 2) - at(a, 2), kinds.most_common(9)))
json.dump({"seconds": end - begin, "task": samples[-1][1], "server": samples[-1][2] - samples[0][2], "phases": phases}, open(out, "w"))
PY
    mysql -e "SET GLOBAL general_log = OFF"
    rm -f "$work/general-$time"
done
python3 - "$work"/run-* <<'PY'
import json, sys
runs = sorted((json.load(open(path)) for path in sys.argv[1:]), key=lambda run: run["seconds"])
print("# runs: seconds, CPU-seconds of the task, of the server:", "; ".join(f"{r['seconds']:.2f}, {r['task']:.2f}, {r['server']:.2f}" for r in runs))
print("# phase, seconds, CPU-seconds of the task, of the server, statements")
for name, seconds, task, server, kinds in runs[0]["phases"]:
    print(f"{name}, {seconds:.2f}, {task:.2f}, {server:.2f}, " + "; ".join(f"{count} {kind}" for kind, count in kinds))
PY
