#!/usr/bin/env bash
# Measures how long a page waits: from the answer to onopen, and from the click to the first message that comes back, for
# each way to begin, over links of several round trips and losses, and prints a Markdown table for docs/benchmarks.md.
# About half an hour; the arguments are those of go test, such as -bench 'Waits/chromium_with_SNAP/.*/rtt=100'.
set -euo pipefail
cd "$(dirname "$0")/../interop"

go test -timeout 120m -run '^$' -bench '^BenchmarkWaits' -benchtime 20x "$@" . | tee /dev/stderr | awk '
	BEGIN {
		way["pion"] = "pion/webrtc, POST"
		way["post"] = "godwit, POST"
		way["tls"] = "godwit, POST over a new TLS connection"
		way["invite"] = "godwit, invite"
		print "| browser | server, way | RTT ms | loss each way | n | answer to onopen p50 | p90 | max | click to echo p50 | p90 | max | done |"
		print "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
	}
	/^Benchmark/ {
		delete v
		for (i = 3; i < NF; i += 2) v[$(i + 1)] = $i
		sub(/-[0-9]+$/, "", $1)
		split($1, name, "/")
		sub(/rtt=/, "", name[4])
		sub(/loss=/, "", name[5])
		gsub(/_/, " ", name[2])
		printf "| %s | %s | %s | %s | %d | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f %% |\n",
			name[2], way[name[3]], name[4], name[5], $2, v["p50-ms"], v["p90-ms"], v["max-ms"],
			v["click-p50-ms"], v["click-p90-ms"], v["click-max-ms"], v["%done"]
	}'
