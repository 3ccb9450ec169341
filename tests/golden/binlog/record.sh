#!/usr/bin/env bash
# Records all.binlog from all.sql, and NAME.00000N from each other NAME.sql, each on a server of its own.
set -euo pipefail
cd "$(dirname "$0")"
server() { bash ../../../scripts/servers.sh "$@"; }
# record NAME SERVER CLIENT STATEMENTS: what is to be done before.
record() {
    TIDEGATE_SERVERS=$(mktemp -d)
    export TIDEGATE_SERVERS
    trap 'server down; rm -rf "$TIDEGATE_SERVERS"' EXIT
    server up "$2"
    server "$3" -e "$4"
    server "$3" <"$1.sql"
    log=$(server "$3" -BN -e 'SELECT @@log_bin_basename')
    for file in 000001 $(server "$3" -BN -e 'SHOW BINARY LOGS' | cut -f1 | sed 's/.*\.//;1d;$d'); do cp "$log.$file" "$1.$file"; done
    server down
    rm -rf "$TIDEGATE_SERVERS"
    trap - EXIT
}
names=${*:-all kinds maria old old_gtid}
for name in $names; do
    case $name in
        old)
            TIDEGATE_MYSQLD_OPTIONS='--gtid-mode=OFF --skip-enforce-gtid-consistency' record old mysql-5.6 mysql-5.6 'RESET MASTER'
            ;;
        old_gtid) record old_gtid mysql-5.6 mysql-5.6 'RESET MASTER' ;;
        maria) record maria mariadb mariadb 'SET GLOBAL binlog_row_metadata = FULL; RESET MASTER' ;;
        *) record "$name" mysql-gtid mysql 'SET GLOBAL binlog_row_metadata = FULL; RESET BINARY LOGS AND GTIDS' ;;
    esac
done
case " $names " in *" all "*) mv all.000001 all.binlog ;; esac
