#!/usr/bin/env bash
# What following statements costs: many ALTER TABLE of one captured table while the task is stopped, then a start, with binlog_row_metadata=MINIMAL.
#
#   TIDEGATE_SERVERS=… scripts/servers.sh up mysql; scripts/bench_ddl.sh [STATEMENTS [COLUMNS]]
#
# STATEMENTS (default 10000) add, rename, modify and drop a column of a table of COLUMNS (default 20) in turns; once alone, and once with a row behind
# each. The task reads them into `null`; beside it, one that reads as many rows of another table and no statement, whose time is not the history's.
# A line is `case, statements, rows, seconds, CPU-seconds, bytes of state before, behind, versions of the table in the state`. The program is the
# one of the release build, or TIDEGATE.
. "$(dirname "$0")/bench_common.sh"
statements=${1:-10000}
columns=${2:-20}

task() {
    cat >"$work/$1.yaml" <<TASK
task: $1
source: {mysql: "mysql://tide@127.0.0.1:$port", password: tide}
tables: [$2]
sink: {'null': {}, topic: '{table}'}
format: canal_json
state: $work/$1
TASK
    "$tidegate" run "$work/$1.yaml" --until now >"$work/$1.log" 2>&1 || { cat "$work/$1.log" >&2; exit 1; }
    stat -c %s "$work/$1/checkpoint" >"$work/$1.before"
}

# again NAME CASE STATEMENTS ROWS
again() {
    TIMEFORMAT='%R %U %S'
    local code=0
    { time "$tidegate" run "$work/$1.yaml" --until now >"$work/$1.log" 2>&1 || code=$?; } 2>"$work/time"
    [ $code = 0 ] || { tail -5 "$work/$1.log"; echo "exit code $code"; }
    local seconds user system
    read -r seconds user system <"$work/time"
    local versions
    versions=$("$tidegate" state "$work/$1.yaml" --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["schemas"]))')
    echo "$2, $3, $4, $seconds, $(awk "BEGIN { print $user + $system }"), $(cat "$work/$1.before"), $(stat -c %s "$work/$1/checkpoint"), $versions; $(tail -1 "$work/$1.log" | sed 's/^.*INFO[^:]*: //')"
    stat -c %s "$work/$1/checkpoint" >"$work/$1.before"
}

# alter WITH_ROWS
alter() {
    mysql -e "SET GLOBAL binlog_row_metadata = MINIMAL; DROP DATABASE IF EXISTS bench_ddl; CREATE DATABASE bench_ddl;
        CREATE TABLE bench_ddl.t (id INT PRIMARY KEY AUTO_INCREMENT, column_02 VARCHAR(30)$(printf ', column_%02d INT' $(seq 3 "$columns")));
        CREATE TABLE bench_ddl.other LIKE bench_ddl.t; INSERT INTO bench_ddl.t (column_02) VALUES ('first')"
    task "altered$1" bench_ddl.t
    task "other$1" bench_ddl.other
    for ((i = 0; i < statements / 4; i++)); do
        for statement in "ADD COLUMN c$i INT" "RENAME COLUMN c$i TO d$i" "MODIFY d$i BIGINT DEFAULT 7" "DROP COLUMN d$i"; do
            echo "ALTER TABLE t $statement;"
            [ "$1" = 0 ] || echo "INSERT INTO t (column_02) VALUES ('a row'); INSERT INTO other (column_02) VALUES ('a row');"
        done
    done | mysql bench_ddl
}
echo "# case, statements, rows, seconds, CPU-seconds, bytes of state before, behind, versions; the last line of the log"
alter 0
again altered0 "statements alone" "$statements" 0
again other0 "the same, of another table" "$statements" 0
again altered0 "nothing more" 0 0
alter 1
again altered1 "a row behind each" "$statements" "$statements"
again other1 "rows of another table" "$statements" "$statements"
again altered1 "nothing more" 0 0
mysql -e "DROP DATABASE bench_ddl"
