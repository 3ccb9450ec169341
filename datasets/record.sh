#!/usr/bin/env bash
# Records the data sets of this folder against a real MySQL server of its own, which is fetched if it is missing, started,
# and removed again. Contents are the same every time, but for the version and the UUID of the server.
#
#   datasets/record.sh [FOLDER]      FOLDER: where to write, default datasets/shop
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd -P)
out=${1:-$root/datasets/shop}
mkdir -p "$out"

export TIDEGATE_SERVERS
work=$(mktemp -d "${TMPDIR:-/tmp}/tidegate-record.XXXXXX")
TIDEGATE_SERVERS=$work/servers
cleanup() {
    bash "$root/scripts/servers.sh" down >/dev/null 2>&1 || echo "record: couldn't end the server in $TIDEGATE_SERVERS" >&2
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -q --disable-pip-version-check pymysql pyarrow
bash "$root/scripts/servers.sh" up mysql
eval "$(bash "$root/scripts/servers.sh" env)"
"$work/venv/bin/python" "$root/datasets/record.py" --server "$TIDEGATE_TEST_MYSQL" --data "$TIDEGATE_SERVERS/mysql/data" --out "$out"
