#!/usr/bin/env bash
# What it costs to build the program: all of it from nothing, and again after one line of a leaf was changed.
#
#   scripts/bench_build.sh [COMMIT] [FILE...]
#
# COMMIT (default HEAD) is checked out into a folder of its own, with an empty target folder; crates of others are fetched before the
# clock runs. Then `cargo build --release` as a user does it, once cold; and once after a line was added at the end of each FILE
# (default engine/format/src/partition.rs), and once with nothing changed. Prints seconds and CPU-seconds of each. To compare
# commits, run it for each of them on a machine that does nothing else. Folders are below TIDEGATE_BENCH_BUILD (default: a temporary one) and
# go away.
set -euo pipefail
cd "$(dirname "$0")/.."
commit=$(git rev-parse --verify "${1:-HEAD}^{commit}")
shift || true
[ $# -gt 0 ] || set -- engine/format/src/partition.rs

work=$(mktemp -d "${TIDEGATE_BENCH_BUILD:-${TMPDIR:-/tmp}}/tidegate-build.XXXXXX")
trap 'git worktree remove --force "$work/tree" 2>/dev/null || true; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/tree" "$commit"
cd "$work/tree"
export CARGO_TARGET_DIR=$work/target
unset RUSTC_WRAPPER RUSTFLAGS
cargo fetch --locked --quiet

# build NAME: seconds on the clock, and of all cores together.
TIMEFORMAT='%R %U %S'
build() {
    local took
    took=$( { time cargo build --release --locked --quiet >"$work/log" 2>&1; } 2>&1) || { cat "$work/log" >&2; exit 1; }
    awk -v name="$1" '{ printf "%s: %.1f s, %.1f CPU-seconds\n", name, $1, $2 + $3 }' <<<"$took"
}

printf '%s, %s cores, %s\n' "$(git log -1 --format='%h of %cs')" "$(nproc)" "$(rustc --version)"
build cold
build unchanged
for file in "$@"; do
    # Code, so that what depends on the crate is built again, too.
    printf '\n#[doc(hidden)]\npub fn bench_build() {}\n' >>"$file"
    build "a line in $file"
done
