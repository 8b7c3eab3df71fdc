#!/usr/bin/env bash
# A release binary whose bytes depend on the commit and the toolchain only: deploy/build.sh [TARGET]
# Static on Linux. Paths of the machine are cut out, and times are those of the commit.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${1:-$(rustc -vV | sed -n 's/^host: //p')}
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2> /dev/null || echo 0)
export SOURCE_DATE_EPOCH
flags="--remap-path-prefix=$PWD=/src --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
case $target in
  *-linux-*) flags="$flags -C target-feature=+crt-static" ;;
esac
RUSTFLAGS="$flags" cargo build --release --locked --target "$target"
ls -l "target/$target/release/poe2openai"
