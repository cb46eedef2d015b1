#!/usr/bin/env bash
# Finds phrases that readers with school English stumble over; CONTRIBUTING.md says how
# we write. A phrase that is meant literally can be written another way too.
set -euo pipefail
cd "$(dirname "$0")/.."

phrases=(
	'\bbut for (the|those|what|a[n]? |what)\b' # except for
	'\bof late\b'                # recently
	'\banew\b'                   # again
	"\bof one's own\b"           # of this end, of the program
	'\blet(s|ting)? go of\b'     # releases, drops, closes
	'\blost sight of\b'          # unreachable
	'\bso to speak\b'
	'\bsoever\b'
	'\bgood no more\b'           # expired
	'\bin vain\b'
	'\bwithout a word\b'         # silently
	'\ball the same\b'           # nevertheless, still
	'\b(thereof|therein|thereby|whereby|whilst|hitherto|henceforth)\b'
)
pattern=$(IFS='|'; echo "${phrases[*]}")
if found=$(git ls-files -co --exclude-standard '*.go' '*.md' | xargs grep -nHE "$pattern"); then
	echo "$found"
	echo "these phrases are hard to read for many; write them another way (ci/words.sh has suggestions)"
	exit 1
fi
