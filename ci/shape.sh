#!/usr/bin/env bash
# Prints figures of the code beside their limits (bars). A row that is beyond its bar prints the
# reason below. A row beyond its bar without a reason, or marked FAIL, fails the run.
set -euo pipefail
cd "$(dirname "$0")/.."

# Generated code is that of its generator.
list() { git ls-files -co --exclude-standard '*.go' | grep -vE '^(interop|examples|webtransport|fleet)/|/testdata/|(^|/)godwit_gen\.go$' || true; }
mapfile -t src < <(list | grep -v '_test\.go$')
mapfile -t tests < <(list | grep '_test\.go$')
# The library without its tools; and the wire stack, the part of the library that any
# WebRTC server needs. The wire stack has a bar for its size.
mapfile -t library < <(printf '%s\n' "${src[@]}" | grep -vE '^(ci|cmd|netsim|internal/(conform|doctor|gen|load|testkit)|web/test)/')
stackdirs='dtls|icelite|sctp|sdp|rtcserver|internal/(loop|peer|seq|timers|udpio)'
mapfile -t stack < <(printf '%s\n' "${src[@]}" | grep -E "^($stackdirs)/")
mapfile -t cores < <(printf '%s\n' "${src[@]}" |
	grep -E '^(auth|channel|dtls|game|icelite|sctp|sdp|internal/(icectl|peer|seq|sessioncore|timers))/' |
	grep -vE '^dtls/(certificate|handshake|pion|pipe)\.go$')

failed=0
unexplained= # a row that is over or under its bar and has no reason yet
settle() {
	[[ -z $unexplained ]] || { echo "  FAIL: write the reason below its bar in ci/shape.sh, or change the code"; failed=1; }
	unexplained=
}
row() {
	settle
	print "$@"
}
print() { printf '%-44s %10s  %-12s %s\n' "$1" "$2" "$3" "$4"; }
# bar row found max [FAIL]: found must not exceed max.
bar() {
	local verdict=ok
	(($2 <= $3)) || verdict=${4:-over}
	settle
	print "$1" "$2" "<= $3" "$verdict"
	[[ $verdict != FAIL ]] || failed=1
	[[ $verdict != over ]] || unexplained=1
}
# atleast row found min
atleast() {
	local verdict=ok
	awk -v a="$2" -v b="$3" 'BEGIN { exit !(a >= b) }' || verdict=under
	settle
	print "$1" "$2" ">= $3" "$verdict"
	[[ $verdict == ok ]] || unexplained=1
}
# count counts the lines of files that match a pattern: count pattern file ...
count() {
	local pattern=$1
	shift
	(($#)) || { echo 0; return; }
	cat -- "$@" | grep -cE "$pattern" || true
}
# code is count without comments.
code() {
	local pattern=$1
	shift
	(($#)) || { echo 0; return; }
	cat -- "$@" | sed -E 's#(^|\s)//.*##' | grep -cE "$pattern" || true
}
# because prints why the row before is beyond its bar, if it is. A row beyond its bar without
# a reason fails the run.
because() {
	[[ -z $unexplained ]] || printf '  why: %s\n' "$1"
	unexplained=
}
lines() { (($#)) && cat -- "$@" | wc -l || echo 0; }

# Lengths of functions, sorted.
mapfile -t lengths < <(awk '
	/^func .*}$/ { print 1; next }
	/^func / { start = FNR }
	/^}/ && start { print FNR - start + 1; start = 0 }
' "${src[@]}" /dev/null | sort -n)
n=${#lengths[@]}
((n)) || { lengths=(0); n=1; }

loc=$(lines "${src[@]}")
testloc=$(lines "${tests[@]}")
stackloc=$(lines "${stack[@]}")
stackcode=$(code '[^[:space:]]' "${stack[@]}")
biggest=$(wc -l "${src[@]}" /dev/null | grep -v ' total$' | sort -n | tail -n 1)
read -r biglines bigfile <<<"$biggest"
# A bubble is often made by a helper in another file of the package.
mapfile -t sleepers < <(grep -l 'time\.Sleep(' "${tests[@]}" /dev/null | while read -r f; do
	grep -qs 'testing/synctest' "$(dirname "$f")"/*_test.go || echo "$f"
done)

row "what" "found" "bar" ""
starts='^\s*go (func|[a-zA-Z.]+\()|\.Go\('
bar "places that start goroutines" "$(code "$starts" "${library[@]}")" 5
because "a client's race tries WebTransport and a WebSocket at the same time, each with a goroutine that waits for the network (ARCHITECTURE.md)"
bar "places that start goroutines in cores" "$(code "$starts" "${cores[@]}")" 0 FAIL
bar "mutexes" "$(code 'sync\.(RW)?Mutex' "${library[@]}")" 7
because "a relay has a goroutine for each direction, and one table of clients for both (relay)"
bar "clock, lock, socket or dice in cores" \
	"$(code '\btime\.(Now|Since|Until|Sleep|After)\b|\bsync\.|\bnet\.|\brand\.' "${cores[@]}")" 0
# Each has at least two implementations today: udpio.PacketConn, rtcserver.Engine, session.End,
# Host and Socket of the one loop, the members of client's loop, and the links of a session.
# PacketConn is declared in rtcserver and client, too, so that go doc shows its methods there.
bar "interfaces" "$(code 'interface \{' "${library[@]}")" 9
because "Carrier, which programs implement, in godwit and in client, so that go doc shows its methods in both; the link of a client's session, a Conn or one over a Carrier; NetConn of TLS is named where it is used"
# x/net/quic, one protocol where we have four, has 12,800 lines.
bar "lines of the wire stack" "$stackloc" 16000
because "udpio has the raw reads and writes of WebSockets, too, so that all system calls without the runtime stand in one place"
row "- without comments and empty lines" "$stackcode" "" ""
row "lines of all source" "$loc" "" ""
bar "biggest file: $bigfile" "$biglines" 600 FAIL
row "files over 400 lines" "$(wc -l "${src[@]}" /dev/null | awk '$1 > 400 && $2 != "total"' | wc -l)" "" ""
bar "lines of a function, p90" "${lengths[$((n * 90 / 100))]}" 32
bar "lines of a function, longest" "${lengths[$((n - 1))]}" 120
for dir in sctp dtls internal/peer; do
	mapfile -t files < <(printf '%s\n' "${stack[@]}" | grep "^$dir/")
	atleast "RFC links per 1000 lines of $dir" "$(awk -v r="$(count 'https://www\.rfc-editor\.org' "${files[@]}")" -v l="$(lines "${files[@]}")" \
		'BEGIN { printf "%.1f", l ? 1000 * r / l : 0 }')" 14
done
atleast "lines of test per line of source" "$(awk -v t="$testloc" -v l="$loc" 'BEGIN { printf "%.2f", l ? t / l : 0 }')" 1
bar "test files that sleep in packages without synctest" "${#sleepers[@]}" 0 FAIL
((${#sleepers[@]} == 0)) || printf '  %s\n' "${sleepers[@]}"
row "fuzz targets" "$(count '^func Fuzz' "${tests[@]}")" "1 a parser" ""
row "checks that nothing is allocated" "$(count 'AllocsPerRun' "${tests[@]}")" "" ""

settle
printf '\nlines by package, * of the wire stack\n'
wc -l "${src[@]}" /dev/null | awk -v stack="^($stackdirs)$" '$2 ~ /\.go$/ { f = $2; if (!sub(/\/[^\/]*$/, "", f)) f = "."; n[f] += $1 }
	END { for (f in n) printf "%6d  %s%s\n", n[f], f, f ~ stack ? " *" : "" }' | sort -k2
exit $failed
