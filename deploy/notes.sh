#!/bin/sh
# The section of CHANGELOG.md about a version, without its heading: deploy/notes.sh VERSION
set -eu
cd "$(dirname "$0")/.."
notes=$(awk -v version="$1" '/^## /{ on = ($2 == version); next } on' CHANGELOG.md)
[ -n "$notes" ] || { echo "CHANGELOG.md has no section about $1" >&2; exit 1; }
printf '%s\n' "$notes"
