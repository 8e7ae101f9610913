# SPDX-License-Identifier: BSD-2-Clause
# Lines "system workload requests microseconds bytes p50 p99 errors cpu" and "system idle bytes" become medians over the rounds,
# and ratios to the base in the same run: HAProxy in its mode, or an empty table of tokens.
def median: sort | if length == 0 then null elif length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
def round3: if . == null then null else . * 1000 | round / 1000 end;
def ratio($a; $b): if $a == null or $b == null or $b == 0 then null else $a / $b | round3 end;

[inputs | split(" ")] as $lines
| [$lines[] | select(.[1] != "idle") | { system: .[0], workload: .[1], n: (.[2:] | map(tonumber)) }
	| . + { rate: (.n[0] / .n[1] * 1e6), bytes: (.n[2] / .n[1] * 1e6), p50: .n[3], p99: .n[4], errors: .n[5],
		cpu: (if .system == "direct" or .n[0] == 0 then null else .n[6] / .n[0] end) }] as $runs
| { host: { kernel: $kernel, cpus: ($cpus | tonumber), haproxy: $haproxy, nginx: $nginx, rddr: $version },
    results: (
	[$runs | group_by(.workload)[] | { key: .[0].workload, value: (
		group_by(.system) | map({ key: .[0].system, value: {
			rounds: length,
			requests_per_second: (map(.rate) | median | round),
			bytes_per_second: (map(.bytes) | median | round),
			p50_us: (map(.p50) | median), p99_us: (map(.p99) | median),
			cpu_us_per_request: (map(.cpu | values) | median | round3),
			errors: (map(.errors) | add) } }) | from_entries) }]
	+ [{ key: "idle", value: ([$lines[] | select(.[1] == "idle") | { key: .[0], value: { bytes_per_session: (.[2] | tonumber) } }] | from_entries) }]
	| from_entries) }
| .results |= map_values((.haproxy // .["haproxy-http"] // .["haproxy-tls"] // .["tokens-0"]) as $h | map_values(. as $r | . + { to_base: (
	$r | with_entries(select(.key != "rounds" and .key != "errors") | .value = ratio(.value; $h[.key]))) }))
