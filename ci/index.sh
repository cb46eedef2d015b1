#!/usr/bin/env bash
# Fails if the index of docs/decisions.md has not the entries of the file, in their order, each with
# its date.
set -euo pipefail
cd "$(dirname "$0")/.."
rows() { sed -nE 's/^\| \[(.*)\]\(#[^)]*\) \| ([0-9-]+) \|.*/\2 \1/p' docs/decisions.md; }
entries() { awk '/^## / { title = substr($0, 4) } /^\*[0-9-]+ · / && title { print substr($1, 2), title; title = "" }' docs/decisions.md; }
diff <(rows) <(entries) || { echo "docs/decisions.md: < is a row of the index, > an entry"; exit 1; }
