#!/usr/bin/env bash
# Records all.binlog from all.sql, on a server of its own.
set -euo pipefail
cd "$(dirname "$0")"
TIDEGATE_SERVERS=$(mktemp -d)
export TIDEGATE_SERVERS
server() { bash ../../../scripts/servers.sh "$@"; }
trap 'server down; rm -rf "$TIDEGATE_SERVERS"' EXIT
server up mysql
server mysql -e 'SET GLOBAL binlog_row_metadata = FULL; RESET BINARY LOGS AND GTIDS'
server mysql <all.sql
cp "$(server mysql -BN -e 'SELECT @@log_bin_basename')".000001 all.binlog
