#!/usr/bin/env bash
# What `memory` holds: the resident peak of a task for tables, rows and transactions of all shapes, and whether what came is right.
#
#   TIDEGATE_SERVERS=… scripts/servers.sh up mysql kafka; scripts/bench_memory.sh [CASE...]
#
# Cases (all unless told): wide threads megabyte transaction compressed huge columns chunks xa. Each runs with `memory` of 64, 128 and 512 MiB
# (TIDEGATE_BENCH_BUDGETS) and both formats (TIDEGATE_BENCH_FORMATS), into a topic of its own, which `tidegate verify` then compares with
# the table. A line is `case, format, budget MiB, peak MiB (VmHWM), over budget MiB, CPU-seconds, seconds, exit code, verdict`. The program is
# the one of the release build, or TIDEGATE. Needs 3 GB of disk.
. "$(dirname "$0")/bench_common.sh"
budgets=${TIDEGATE_BENCH_BUDGETS:-64 128 512}
formats=${TIDEGATE_BENCH_FORMATS:-canal_json dts_avro}
[ $# -gt 0 ] || set -- wide threads megabyte transaction compressed huge columns chunks xa

# task NAME TABLE FORMAT BUDGET [LINES]: a task file.
task() {
    rm -rf "${work:?}/$1"
    drop_topic "$1"
    cat >"$work/$1.yaml" <<TASK
task: $1
source: {mysql: "mysql://tide@127.0.0.1:$port", password: tide}
tables: [$2]
sink:
  kafka: "$TIDEGATE_TEST_KAFKA"
  topic: $1
  create_topics: {partitions: 4, replication: 1, config: {max.message.bytes: 1000000000, file.delete.delay.ms: 100}}
  options: {message.max.bytes: 1000000000}
format: $3
memory: ${4}MiB
state: $work/$1
TASK
    [ $# -lt 5 ] || printf '%s\n' "$5" >>"$work/$1.yaml"
}

# run NAME ARGS: to its end; sets peak (KiB), cpu, seconds and code. The mark is read twenty times a second; it only rises. With kill_at it is
# killed once it has used so many CPU-seconds.
run() {
    local name=$1 pid now
    shift
    peak=0
    TIMEFORMAT='%R %U %S'
    "$tidegate" run "$work/$name.yaml" "$@" >"$work/$name.log" 2>&1 &
    pid=$!
    local began=$EPOCHREALTIME
    while read -r now 2>/dev/null < <(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
        if [ "$now" -gt "$peak" ]; then peak=$now; fi
        cpu=$(awk '{ print ($14 + $15) / 100 }' "/proc/$pid/stat" 2>/dev/null) || true
        if [ -n "${kill_at:-}" ] && [ "$(awk "BEGIN { print (${cpu:-0} >= $kill_at) }")" = 1 ]; then kill -KILL "$pid"; fi
        sleep 0.05
    done
    code=0
    wait "$pid" 2>/dev/null || code=$?
    seconds=$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $began }")
    # What the program itself says at its end is later than the last look.
    local told
    told=$(sed -n 's/.*peak memory \([0-9]*\) MiB.*/\1/p' "$work/$name.log" | tail -1)
    if [ -n "$told" ] && [ $((told * 1024)) -gt "$peak" ]; then peak=$((told * 1024)); fi
    cpu_told=$(sed -n 's/.*; \([0-9.]*\) CPU-seconds.*/\1/p' "$work/$name.log" | tail -1)
    cpu=${cpu_told:-$cpu}
}

# line CASE FORMAT BUDGET VERDICT
line() {
    echo "$1, $2, $3, $((peak / 1024)), $((peak / 1024 - $3)), $cpu, $seconds, $code, $4"
    [ "$code" = 0 ] || [ "$code" = 137 ] || tail -3 "$work/$name.log" | cut -c1-400 | sed 's/^/#   /'
}

# verdict NAME: what verify says of the topic.
verdict() {
    local said
    said=$("$tidegate" verify "$work/$1.yaml" 2>/dev/null) || true
    echo "$said" | sed -n 2p | tr -s ' '
}

# load CASE TABLE [LINES]: a full load with each budget and format.
load() {
    local format budget name
    for format in $formats; do
        for budget in $budgets; do
            name=memory_$1_${format}_$budget
            task "$name" "$2" "$format" "$budget" "${3:-}"
            run "$name" --until now
            line "$1" "$format" "$budget" "$(verdict "$name")"
            drop_topic "$name"
        done
    done
}

# begin CASE TABLE [LINES]: a task for each budget and format, which begins while the table is empty.
begin() {
    local format budget name
    mysql -e "TRUNCATE $2"
    for format in $formats; do
        for budget in $budgets; do
            name=memory_$1_${format}_$budget
            task "$name" "$2" "$format" "$budget" "${3:-}"
            run "$name" --until now
            [ "$code" = 0 ] || line "$1 (begin)" "$format" "$budget" -
        done
    done
}

# follow CASE: each of them reads what was written since.
follow() {
    local format budget name
    for format in $formats; do
        for budget in $budgets; do
            name=memory_$1_${format}_$budget
            run "$name" --until now
            line "$1" "$format" "$budget" "$(verdict "$name")"
            drop_topic "$name"
        done
    done
    mysql -e "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY"
}

# changes CASE TABLE STATEMENTS [LINES]: what the statements write is read from the binlog.
changes() {
    begin "$1" "$2" "${4:-}"
    mysql bench_memory -e "$3"
    follow "$1"
}

# rows TABLE COLUMNS EXPRESSIONS COUNT: of `i` from 1 to COUNT, as one statement.
rows() {
    echo "INSERT INTO bench_memory.$1 ($2) SELECT $3 FROM (SELECT a.i + 1000 * b.i + 1000000 * c.i + 1 AS i
        FROM bench_memory.thousand a, bench_memory.thousand b, bench_memory.thousand c WHERE c.i < 10) n WHERE i <= $4;"
}

mysql -e "CREATE DATABASE IF NOT EXISTS bench_memory; CREATE TABLE IF NOT EXISTS bench_memory.thousand (i INT PRIMARY KEY);
    SET SESSION cte_max_recursion_depth = 1000; INSERT IGNORE INTO bench_memory.thousand
    WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999) SELECT i FROM n"

wide() {
    [ "$(mysql -N -e "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'bench_memory' AND TABLE_NAME = 'wide'")" = 0 ] || return 0
    mysql -e "SET sql_log_bin = 0; CREATE TABLE bench_memory.wide (id INT PRIMARY KEY, $(printf 'a_column_22_letters%03d INT,' {1..300} | sed 's/,$//')); $(rows wide id i 200000)"
    mysql -e "ANALYZE TABLE bench_memory.wide" >/dev/null
}

echo "# case, format, budget MiB, peak MiB, over budget MiB, CPU-seconds, seconds, exit code, verdict (table, verdict, source rows, topic rows, missing, extra, different)"
for case in "$@"; do
    case $case in
        wide) wide; load wide bench_memory.wide ;;
        threads) wide; load threads bench_memory.wide $'threads: 16\nfull_load: {parallel: 16, chunk_rows: 10000}' ;;
        megabyte)
            # Letters at random, so that nothing is compressed.
            python3 -c '
import base64, os
for i in range(400):
    print(i, base64.b64encode(os.urandom(786432)).decode(), sep="\t")' >"$work/megabyte.tsv"
            mysql --local-infile=1 -e "SET sql_log_bin = 0; CREATE TABLE bench_memory.megabyte (id INT PRIMARY KEY, content LONGTEXT);
                LOAD DATA LOCAL INFILE '$work/megabyte.tsv' INTO TABLE bench_memory.megabyte"
            rm "$work/megabyte.tsv"
            load megabyte bench_memory.megabyte $'threads: 16\nfull_load: {parallel: 8}'
            mysql -e "CREATE TABLE bench_memory.megabyte_changed LIKE bench_memory.megabyte"
            changes megabyte_transaction bench_memory.megabyte_changed "INSERT INTO megabyte_changed SELECT * FROM megabyte" 'threads: 16'
            mysql -e "SET sql_log_bin = 0; DROP TABLE bench_memory.megabyte, bench_memory.megabyte_changed"
            ;;
        transaction | compressed)
            mysql -e "CREATE TABLE bench_memory.$case (id INT PRIMARY KEY, a INT, b VARCHAR(20))"
            setting=OFF
            [ "$case" = transaction ] || setting=ON
            changes "$case" "bench_memory.$case" "SET SESSION binlog_transaction_compression = $setting;
                $(rows "$case" 'id, a, b' "i, i * 7, CONCAT('row ', i)" 2000000)"
            mysql -e "SET sql_log_bin = 0; DROP TABLE bench_memory.$case"
            ;;
        huge)
            mysql -e "CREATE TABLE bench_memory.huge (id INT PRIMARY KEY, content LONGTEXT); SET sql_log_bin = 0; SET SESSION max_execution_time = 0;
                INSERT INTO bench_memory.huge VALUES (1, REPEAT('0123456789abcdef', 6250000)); INSERT INTO bench_memory.huge SELECT 2, content FROM bench_memory.huge;
                INSERT INTO bench_memory.huge SELECT 3, content FROM bench_memory.huge WHERE id = 1"
            load huge bench_memory.huge
            mysql -e "CREATE TABLE bench_memory.huge_changed LIKE bench_memory.huge"
            changes huge_transaction bench_memory.huge_changed "INSERT INTO huge_changed SELECT * FROM huge"
            mysql -e "SET sql_log_bin = 0; DROP TABLE bench_memory.huge, bench_memory.huge_changed"
            ;;
        columns)
            # No more than 1,017 go into InnoDB, 4,096 into MyISAM.
            for columns in 1017 4096; do
                engine=InnoDB
                [ $columns = 1017 ] || engine=MyISAM
                mysql -e "SET sql_log_bin = 0; CREATE TABLE bench_memory.columns_$columns (id INT PRIMARY KEY,
                    $(seq 2 $columns | sed 's/.*/column_number_& TINYINT/' | paste -sd,)) ENGINE=$engine; $(rows columns_$columns id i 20000)"
                load "columns_$columns" "bench_memory.columns_$columns" 'threads: 16'
                mysql -e "SET sql_log_bin = 0; DROP TABLE bench_memory.columns_$columns"
            done
            ;;
        chunks)
            mysql -e "SET sql_log_bin = 0; CREATE TABLE bench_memory.chunks (id INT PRIMARY KEY, a INT, b VARCHAR(20));
                $(rows chunks 'id, a, b' "i, i * 7, CONCAT('row ', i)" 2000000); ANALYZE TABLE bench_memory.chunks" >/dev/null
            load chunks bench_memory.chunks 'full_load: {chunk_rows: 20}'
            mysql -e "SET sql_log_bin = 0; DROP TABLE bench_memory.chunks"
            ;;
        xa)
            # One prepared transaction of 500,000 rows, then 5,000 of ten rows each: read while prepared, killed in the middle, read again,
            # committed, read.
            mysql -e "CREATE TABLE IF NOT EXISTS bench_memory.xa (id INT PRIMARY KEY, a INT, b VARCHAR(20))"
            for kind in xa_large xa_many; do
                begin $kind bench_memory.xa
                if [ $kind = xa_large ]; then
                    mysql -e "XA START 'large'; $(rows xa 'id, a, b' "i, i * 7, CONCAT('row ', i)" 500000) XA END 'large'; XA PREPARE 'large'"
                    echo "XA COMMIT 'large'" >"$work/commit"
                else
                    for ((i = 0; i < 5000; i++)); do
                        echo "XA START 'm$i'; INSERT INTO bench_memory.xa VALUES $(printf "($i%d, 1, 'row')," {0..9} | sed 's/,$//'); XA END 'm$i'; XA PREPARE 'm$i';"
                    done | mysql
                    for ((i = 0; i < 5000; i++)); do echo "XA COMMIT 'm$i';"; done >"$work/commit"
                fi
                for format in $formats; do
                    for budget in $budgets; do
                        name=memory_${kind}_${format}_$budget
                        kill_at=0.05 run "$name" --until now
                        line "$kind (killed)" "$format" "$budget" -
                        run "$name" --until now
                        line "$kind (prepared)" "$format" "$budget" "$(du -sk "$work/$name" | cut -f1) KiB of state"
                    done
                done
                mysql <"$work/commit"
                for format in $formats; do
                    for budget in $budgets; do
                        name=memory_${kind}_${format}_$budget
                        kill_at=0.3 run "$name" --until now
                        line "$kind (killed)" "$format" "$budget" -
                    done
                done
                follow $kind
            done
            mysql -e "SET sql_log_bin = 0; DROP TABLE bench_memory.xa"
            ;;
        *) echo "what is the case $case?" >&2; exit 2 ;;
    esac
done
mysql -e "SET sql_log_bin = 0; DROP TABLE IF EXISTS bench_memory.wide"
