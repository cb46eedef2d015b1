#!/usr/bin/env bash
# Measures godwit and pion/webrtc in Chromium and Firefox over the same bad link,
# RTT 100 ms, and prints a Markdown table for docs/benchmarks.md.
set -euo pipefail
cd "$(dirname "$0")/../interop"

measure() { go test -run '^$' -bench "$1" -benchtime "$2" . | tee /dev/stderr | grep '^Benchmark'; }

{
	measure 'Echoes' 900x
	measure 'Connects//loss=0%' 20x
	measure 'Connects//loss=10%' 40x
} | awk '
	BEGIN {
		print "| measured | browser | server | n | p50 ms | p90 ms | p99 ms | max ms | done |"
		print "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
	}
	{
		for (i = 3; i < NF; i += 2) v[$(i + 1)] = $i
		n = split($1, name, "/")
		sub(/^Benchmark/, "", name[1])
		sub(/-[0-9]+$/, "", name[n])
		what = name[1] == "Echoes" ? "echo, 60 × 1000 B/s, 10 % lost on the way up" : "answer to onopen, " name[2] ", " substr(name[3], 6) " lost each way"
		printf "| %s | %s | %s | %d | %.0f | %.0f | %.0f | %.0f | %.1f %% |\n", what, name[n - 1], name[n], $2, v["p50-ms"], v["p90-ms"], v["p99-ms"], v["max-ms"], v["%done"]
	}'
