#!/usr/bin/env bash
# Measures throughput and keeps the result: TPC-H lineitem out of a real MySQL, as full load and as binlog, each into `null`
# and into a real Kafka, with a peer reading the same table in the same run.
#
#   scripts/bench.sh [SCALE]        0.25 (1.5 M rows) unless told; writes bench/record/<date>-<commit>.csv
#
# Needs what scripts/check.sh needs. Use a quiet machine: servers, broker and engine share it.
set -euo pipefail
cd "$(dirname "$0")/.."
scale=${1:-0.25}

export TIDEGATE_CACHE=${TIDEGATE_CACHE:-$HOME/.cache/tidegate}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$TIDEGATE_CACHE/target}
work=$(mktemp -d "${TMPDIR:-/tmp}/tidegate-bench.XXXXXX")
export TIDEGATE_SERVERS=$work/servers
trap 'bash scripts/servers.sh down >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

cargo build --release --workspace
bench=$CARGO_TARGET_DIR/release/tidegate-bench
bash scripts/servers.sh up mysql kafka >&2
eval "$(bash scripts/servers.sh env)"
mysql_address=${TIDEGATE_TEST_MYSQL#*@}

venv=$TIDEGATE_CACHE/bench-venv
if [ ! -x "$venv/bin/tpchgen-cli" ] || ! "$venv/bin/python" -c 'import connectorx, pyarrow' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet tpchgen-cli connectorx pyarrow
fi
"$venv/bin/tpchgen-cli" tbl -s "$scale" --tables=lineitem --output-dir="$work" >&2

sql() { bash scripts/servers.sh mysql "$@"; }
sql -e "
  CREATE DATABASE tpch;
  CREATE TABLE tpch.lineitem (
    l_orderkey BIGINT NOT NULL, l_partkey INT NOT NULL, l_suppkey INT NOT NULL, l_linenumber INT NOT NULL,
    l_quantity DECIMAL(15,2) NOT NULL, l_extendedprice DECIMAL(15,2) NOT NULL, l_discount DECIMAL(15,2) NOT NULL,
    l_tax DECIMAL(15,2) NOT NULL, l_returnflag CHAR(1) NOT NULL, l_linestatus CHAR(1) NOT NULL, l_shipdate DATE NOT NULL,
    l_commitdate DATE NOT NULL, l_receiptdate DATE NOT NULL, l_shipinstruct CHAR(25) NOT NULL, l_shipmode CHAR(10) NOT NULL,
    l_comment VARCHAR(44) NOT NULL, PRIMARY KEY (l_orderkey, l_linenumber));"

# task NAME SINK EXTRA...: writes a task file; names that end in -avro are those of DTS Avro, in -4of16 those of four columns.
task() {
    local name=$1 sink=$2 format=canal_json table=tpch.lineitem
    shift 2
    [[ $name != *-avro ]] || format=dts_avro
    [[ $name != *-4of16 ]] || table="{table: tpch.lineitem, columns: [l_orderkey, l_linenumber, l_quantity, l_shipdate]}"
    printf '%s\n' "task: $name" "source: {mysql: \"mysql://admin@$mysql_address\", password: admin}" \
        "tables: [$table]" "sink: $sink" "format: $format" "state: $work/state-$name" "$@" >"$work/$name.yaml"
}
null='{"null": {}}'
kafka() { echo "{kafka: \"$TIDEGATE_TEST_KAFKA\", topic: $1, create_topics: {partitions: 4, replication: 1}}"; }
for format in '' -avro; do
    task "load-null$format" "$null" 'incremental: false'
    task "load-kafka$format" "$(kafka "load$format")" 'incremental: false'
    task "binlog-null$format" "$null" 'full_load: false'
    task "binlog-kafka$format" "$(kafka "binlog$format")" 'full_load: false'
done
task load-null-4of16 "$null" 'incremental: false'
task binlog-null-4of16 "$null" 'full_load: false'

# The tasks over the binlog take their position before the rows are written, and read them afterwards at full speed.
for name in binlog-{null,kafka}{,-avro} binlog-null-4of16; do
    "$bench" --name "$name" --messages 0 "$work/$name.yaml" >/dev/null
done
sql --local-infile=1 -e "LOAD DATA LOCAL INFILE '$work/lineitem.tbl' INTO TABLE tpch.lineitem FIELDS TERMINATED BY '|';
  ANALYZE TABLE tpch.lineitem;" >/dev/null
rows=$(sql -N -e 'SELECT COUNT(*) FROM tpch.lineitem')

mkdir -p bench/record
record=bench/record/$(date +%F)-$(git rev-parse --short HEAD).csv
cp -r "$work/state-binlog-null" "$work/state-binlog-null-start"
{
    echo "# TPC-H lineitem, scale $scale; $(nproc) cores, $(awk -F': ' '/model name/ { print $2; exit }' /proc/cpuinfo); $(uname -sr)"
    echo "# MySQL $(sql -N -e 'SELECT VERSION()'), Kafka 4.1.0, Canal JSON (-avro: DTS Avro); engine, server and broker share the machine"
    echo "name,rows,messages,megabytes,seconds,rows_per_second,cpu_seconds,rows_per_cpu_second,peak_mib"
    for name in load-{null,kafka}{,-avro} load-null-4of16; do "$bench" --name "$name" "$work/$name.yaml"; done
    for name in binlog-{null,kafka}{,-avro} binlog-null-4of16; do "$bench" --name "$name" --messages "$rows" "$work/$name.yaml"; done
    "$venv/bin/python" - "$TIDEGATE_TEST_MYSQL/tpch" <<'PY'
# The peer: connectorx reads the same table into Arrow, in one stream, without encoding or sending anything.
import resource, sys, time
import connectorx
began, used = time.time(), resource.getrusage(resource.RUSAGE_SELF)
table = connectorx.read_sql(sys.argv[1], "SELECT * FROM lineitem", return_type="arrow")
seconds, now = time.time() - began, resource.getrusage(resource.RUSAGE_SELF)
cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
rows = table.num_rows
print(f"connectorx-arrow,{rows},,,{seconds:.2f},{rows / seconds:.0f},{cpu:.2f},{rows / cpu:.0f},{now.ru_maxrss / 1024:.0f}")
PY
} >"$record.new"
mv "$record.new" "$record"
cat "$record"

# Where the CPU goes: the top ten functions of both paths, by time, where perf can be had.
profile() {
    local name=$1
    shift
    perf record -q -e cpu-clock -F 997 -o "$work/perf.data" "$bench" --name "$name" "$@" "$work/$name.yaml" >/dev/null
    echo "# $name"
    perf report -i "$work/perf.data" --stdio --no-children --percent-limit 0 --sort symbol 2>/dev/null |
        awk '!/^#/ && NF && ++printed <= 10 { sub(/ +- +- *$/, ""); print }'
}
if command -v perf >/dev/null; then
    rm -rf "$work/state-load-null" "$work/state-binlog-null"
    mv "$work/state-binlog-null-start" "$work/state-binlog-null"
    { profile load-null; profile binlog-null --messages "$rows"; } | tee "${record%.csv}.profile.txt"
fi
