#!/usr/bin/env bash
# Measures godwit, pion/webrtc and the browsers' own reliable channels in Chromium and Firefox over the same bad links,
# RTT 100 ms, and what the client's script costs, and prints Markdown tables for docs/benchmarks.md. About 20 minutes;
# with GODWIT_LONG=1 it measures the page's heap, too, which takes 11 minutes more.
set -euo pipefail
cd "$(dirname "$0")/../interop"

measure() { go test -timeout 60m -run '^$' -bench "$1" -benchtime "$2" "${@:3}" . | tee /dev/stderr | { grep '^Benchmark' || true; }; }

{
	measure '^BenchmarkEchoes' 900x # those of a worker and of a blocked page, too
	measure 'ReliableEchoes' 1800x
	measure 'SequencedEchoes' 4000x
	measure 'Blackouts' 10x
	measure 'Connects//loss=0%' 20x
	measure 'Connects//loss=10%' 40x
	measure 'Script' 4800x
	[[ -z ${GODWIT_LONG:-} ]] || measure 'Heap' 10x -long
} | awk '
	function row(what, p) {
		printf "| %s | %s | %s | %d | %.0f | %.0f | %.0f | %.0f | %.1f %% |\n",
			what, name[n - 1], name[n], $2, v[p "p50-ms"], v[p "p90-ms"], v[p "p99-ms"], v[p "max-ms"], v["%done"]
	}
	BEGIN {
		print "| measured | browser | server | n | p50 ms | p90 ms | p99 ms | max ms | done |"
		print "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
		what["Echoes"] = "echo, 60 × 1000 B/s, 10 % lost on the way up"
		what["ReliableEchoes"] = "echo, reliable and ordered, 60 × 200 B/s, 10 % lost each way"
		what["SequencedEchoes"] = "echo, sequenced, 200 × 1000 B/s, 10 % lost on the way up"
		what["Blackouts"] = "after a blackout of 6 s, until the first fresh message"
	}
	{
		delete v
		for (i = 3; i < NF; i += 2) v[$(i + 1)] = $i
		n = split($1, name, "/")
		sub(/^Benchmark/, "", name[1])
		sub(/-[0-9]+$/, "", name[n])
	}
	name[1] in what { row(what[name[1]], "") }
	name[1] == "EchoesOfABlockedPage" {
		where = "echo, 60 × 200 B/s, client in the " name[3] ", thread of the page " name[4]
		name[n - 1] = name[2]
		name[n] = "godwit"
		row(where, "")
	}
	name[1] == "Blackouts" { row("the same, until the first echo of what the page sent after it", "echo-") }
	name[1] == "Connects" { row("answer to onopen, " name[2] ", " substr(name[3], 6) " lost each way", "") }
	name[1] == "Script" {
		cost = cost sprintf("| %s, %s, %s | %d | %.1f | %.1f | %.1f | %.1f |\n",
			name[2] == "send" ? "sending" : "receiving", name[3], name[4], $2, v["script-µs"], v["send-µs"], v["data-µs"], v["gc-µs"])
	}
	name[1] == "Heap" {
		heap = sprintf("\nThe heap after a minute of 60 messages a second each way on two channels: %.0f KB; after %d more %.0f KB, at most %.0f KB.\n",
			v["first-KB"], $2, v["last-KB"], v["most-KB"])
	}
	END {
		if (cost != "") {
			print "\n| Chromium, 200 B: way, channel, pace | n | script µs | RTCDataChannel.send µs | event.data µs | garbage µs |"
			print "| --- | --- | --- | --- | --- | --- |"
			printf "%s", cost
		}
		printf "%s", heap
	}'
