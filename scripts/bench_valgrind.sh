#!/usr/bin/env bash
# The sink's unit tests under valgrind: whether librdkafka is handed memory that lives long enough, and given back what it gives.
#
#   TIDEGATE_SERVERS=… scripts/servers.sh up kafka; scripts/bench_valgrind.sh [TEST...]
#
# Needs the Debian package valgrind, and the tests as `cargo test --release -p tidegate-sink --no-run` builds them (or TIDEGATE_SINK_TESTS).
# Prints each test, what valgrind counts, and each kind of error once. Everything is some 30 times as slow: tests that look at a clock may fail.
set -euo pipefail
cd "$(dirname "$0")/.."
tests=${TIDEGATE_SINK_TESTS:-$(find "${CARGO_TARGET_DIR:-target}/release/deps" -name 'tidegate_sink-*' -type f -perm -u+x -printf '%T@ %p\n' | sort -rn | sed -n '1s/^[^ ]* //p')}
eval "$(bash scripts/servers.sh env)"
work=$(mktemp -d "${TMPDIR:-/tmp}/tidegate-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd engine/sink
[ $# -gt 0 ] || mapfile -t names < <("$tests" --list | sed -n 's/: test$//p')
[ $# -eq 0 ] || names=("$@")
echo "# $(valgrind --version); ${#names[@]} tests, each in a process of its own: test, result, errors, bytes that are surely lost"
for name in "${names[@]}"; do
    code=0
    # Bytes that are only possibly lost are those of threads that live on.
    timeout 600 valgrind --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite --num-callers=30 --fair-sched=yes \
        --log-file="$work/valgrind" "$tests" --test-threads=1 --exact "$name" >"$work/tests" 2>&1 || code=$?
    result=ok
    [ $code = 0 ] || result="exit code $code, $(grep -m1 -oE 'panicked at [^ ]*[0-9]' "$work/tests" || true)"
    echo "$name, $result, $(sed -n 's/.*ERROR SUMMARY: \([0-9]*\) errors.*/\1/p' "$work/valgrind" | tail -1), $(sed -n 's/.*definitely lost: \([0-9,]*\) bytes.*/\1/p' "$work/valgrind" | tail -1)"
    sed 's/^==[0-9]*== \?//' "$work/valgrind" | awk '
        /^(Invalid|Conditional|Use of|Syscall|Mismatched|Source and|Argument|[0-9,]+ (\([^)]*\) )?bytes in .* lost)/ { head = $0; frames = 0; print "#   " head; next }
        head != "" && /^ *(at|by) / && frames < 11 { sub(/0x[0-9A-F]+: /, ""); print "#   " $0; frames++; next }
        /^ *$/ { head = "" }' >"$work/errors"
    sed -n 1,60p "$work/errors"
done
