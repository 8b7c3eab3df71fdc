#!/usr/bin/env bash
# A release binary whose bytes depend on the commit and the toolchain only: deploy/build.sh [TARGET [ARCHIVE.tar.gz]]
# Static on Linux. Paths of the machine are cut out, and times are those of the commit.
set -euo pipefail
archive=${2:+$(realpath "$2")}
cd "$(dirname "$0")/.."
target=${1:-$(rustc -vV | sed -n 's/^host: //p')}
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2> /dev/null || echo 0)}"
export SOURCE_DATE_EPOCH
cargo_home=${CARGO_HOME:-$HOME/.cargo}
flags="--remap-path-prefix=$PWD=/src --remap-path-prefix=$cargo_home=/cargo"
case $target in
  *-linux-*) flags="$flags -C target-feature=+crt-static" ;;
esac
# the C code of dependencies
export CFLAGS="${CFLAGS:-} -ffile-prefix-map=$PWD=/src -ffile-prefix-map=$cargo_home=/cargo"
RUSTFLAGS="$flags" cargo build --release --locked --target "$target"
program=target/$target/release/poe2openai
ls -l "$program"
if [ -n "$archive" ]; then
  same=()
  # tar of macOS does not know them
  if tar --version | grep -q GNU; then
    same=(--sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner)
  fi
  tar ${same[@]+"${same[@]}"} -cf - -C "$(dirname "$program")" poe2openai -C "$PWD" LICENSE models.yaml.example | gzip -9n > "$archive"
fi
