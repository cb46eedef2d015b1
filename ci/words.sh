#!/usr/bin/env bash
# Finds phrases that readers with school English do not know; CONTRIBUTING.md says how
# we write. If a phrase is meant literally, write it another way, too. The lines of
# a comment, and of a paragraph, are searched as one text.
set -euo pipefail
cd "$(dirname "$0")/.."

phrases=(
	'\bbut for (the|those|what|a[n]? |what)\b' # except for
	'\bof late\b'                # recently
	'\banew\b'                   # again
	"\bof one's own\b"           # of this end, of the program
	'\blet(s|ting)? go of\b'     # releases, drops, closes
	'\b(lost|loses?) sight of\b' # unreachable
	'\bso to speak\b'
	'soever\b'
	'\bgood no more\b'           # expired
	'\bin vain\b'
	'\bwithout a word\b'         # silently
	'\ball the same\b'           # nevertheless, still
	'\bfor want of\b'            # without, because there is no
	'\blest\b'                   # so that ... not
	'\btakes? note (of|that)\b'  # notes, records
	'\b(is|are|not|never) heard of\b' # does not know, has no event
	'\bbec(omes|ame) of\b'       # what happened to, the fate of
	'\b(says?|said|saying) goodbye\b' # closes
	'\bto ride with\b|\brides? (along|again)\b' # is sent with, again
	'\b(times|losses|packets|timeouts?|rounds|trips|lost) on end\b' # in a row
	'\bas (it|they|he) likes?\b' # any
	'\bnone of ours\b'           # not supported
	'\b[Nn]or (do|does|did|can|is|are|has|have|was|were|will)\b' # and ... not either
	'\bdear(er|est)\b'           # more expensive
	'\bin silence\b'            # silently
	'\bto and fro\b'            # back and forth
	'\b(is|are|was|were|be) told of\b' # gets, knows
	'\b(stands?|stood) (in|first|behind)\b' # is in, comes first, follows
	'\b(thereof|therein|thereby|whereby|whilst|hitherto|henceforth)\b'
)
pattern=$(IFS='|'; echo "${phrases[*]}")
join='
function out() { if (text != "") print name ":" start ": " text; text = "" }
FNR == 1 { out(); name = FILENAME; code = name ~ /\.(go|ts|mjs|js)$/ }
{
	line = $0
	if (code && !sub(/^[ \t]*(\/\/|\/?\*+\/?) ?/, "", line)) { out(); print name ":" FNR ": " line; next }
	sub(/^[ \t]+/, "", line)
	if (line == "") { out(); next }
	if (text == "") start = FNR
	text = text (text == "" ? "" : " ") line
}
END { out() }'
if found=$(git ls-files -co --exclude-standard -z '*.go' '*.md' '*.ts' '*.mjs' '*.js' ':!web/dist' | xargs -0 awk "$join" | grep -E "$pattern" | cut -c1-400); then
	echo "$found"
	echo "these phrases are hard to read for many; write them another way (ci/words.sh has suggestions)"
	exit 1
fi
