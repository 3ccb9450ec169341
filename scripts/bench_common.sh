# What scripts of benchmarks share; they source it. The program is the one of the release build, or TIDEGATE; servers are those of TIDEGATE_SERVERS.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tidegate=${TIDEGATE:-${CARGO_TARGET_DIR:-target}/release/tidegate}
eval "$(bash scripts/servers.sh env)"
port=${TIDEGATE_TEST_MYSQL##*:}
work=$(mktemp -d "${TMPDIR:-/tmp}/tidegate-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
mysql() { bash scripts/servers.sh mysql "$@"; }

# drop_topic NAME
drop_topic() {
    python3 - "$TIDEGATE_TEST_KAFKA" "$1" <<'PY'
import socket, struct, sys
(host, port), name = sys.argv[1].split(":"), sys.argv[2].encode()
body = struct.pack(">hhih5s", 20, 1, 1, 5, b"bench") + struct.pack(">ih", 1, len(name)) + name + struct.pack(">i", 30000)    # DeleteTopics
with socket.create_connection((host, int(port))) as s:
    s.sendall(struct.pack(">i", len(body)) + body)
    s.recv(4096)
PY
}
