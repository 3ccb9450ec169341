#!/usr/bin/env bash
# Records all.binlog from all.sql, and kinds.00000N from kinds.sql, each on a server of its own.
set -euo pipefail
cd "$(dirname "$0")"
server() { bash ../../../scripts/servers.sh "$@"; }
record() {
    TIDEGATE_SERVERS=$(mktemp -d)
    export TIDEGATE_SERVERS
    trap 'server down; rm -rf "$TIDEGATE_SERVERS"' EXIT
    server up mysql-gtid
    server mysql -e 'SET GLOBAL binlog_row_metadata = FULL; RESET BINARY LOGS AND GTIDS'
    server mysql <"$1.sql"
    log=$(server mysql -BN -e 'SELECT @@log_bin_basename')
    for file in 000001 $(server mysql -BN -e 'SHOW BINARY LOGS' | cut -f1 | sed 's/.*\.//;1d;$d'); do cp "$log.$file" "$1.$file"; done
    server down
    rm -rf "$TIDEGATE_SERVERS"
    trap - EXIT
}
names=${*:-all kinds}
for name in $names; do
    record "$name"
done
case " $names " in *" all "*) mv all.000001 all.binlog ;; esac
