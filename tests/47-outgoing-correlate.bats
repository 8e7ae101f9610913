#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# What an incoming service puts into its requests (correlate) shows the outgoing service behind it which exchange a request belongs to.

bats_require_minimum_version 1.5.0
load lib
load lib-outgoing

setup() {
	topology_up 4
	: >"$RDDR_TMP/written"
}
teardown() { topology_down; }

# correlated [BACK LINES]: the config, with correlate in both services.
correlated() { config "diff-params: { correlate: {} }"$'\n'"gather: { partner: ${1:-20s} }" "diff-params: { correlate: {} }"; }

# counted SERVICE COUNTER N
counted() {
	local n
	n=$(counter "$1" "$2")
	[[ $n == "$3" ]] || { say "$1 $2: $n, not $3"; return 1; }
}

# The header never gets to the backend.
unseen() { run ! grep -q correlation "$RDDR_TMP/written"; }

@test "requests that are all the same, ten at a time: each answer goes to the exchange that asked" {
	local n=$((600 / RDDR_LOAD_SCALE))
	correlated
	begin forward forward forward
	run drive 1 "$n" 10 next
	echo "$output" | tail -n 5
	ctl --json counters | jq -c '.services | map_values(with_entries(select(.value > 0)))'
	[[ $output == "good $n" ]]
	counted front plugin_correlated "$n"
	counted back plugin_correlated $((2 * n))
	counted back plugin_correlations_missing 0
	counted back groups $((2 * n))
	counted back denied 0
	counted front denied 0
	unseen
}

@test "instances that do not copy the header, and one alone that does not: by what is said" {
	correlated
	begin
	run drive 1 60 10
	[[ $output == "good 60" ]]
	counted front plugin_correlated 60
	counted back plugin_correlated 0
	counted back plugin_correlations_missing 360
	once 1 60
	topology_down
	topology_up 4
	: >"$RDDR_TMP/written"

	correlated
	begin forward forward
	run drive 1 60 10
	[[ $output == "good 60" ]]
	counted back plugin_correlated 120
	counted back plugin_correlations_missing 120
	once 1 60
	unseen
}

@test "an instance that makes one up has no partners: refused, with evidence that names the exchange" {
	local real
	correlated 2s
	begin forward "forward forge" forward
	run drive 107 1 1 next
	[[ $output == *"wrong 107: 502"* ]]
	counted back partners_missing 3
	jq -e -s 'map(select(.service == "back")) | length == 3 and all(.correlation | test("^[0-9a-f]{32}$"))' "$RDDR_TMP/evidence.jsonl"
	# Those of the others belong to one exchange, and that of the second to none.
	real=$(jq -r 'select(.service == "back" and ([.instances[] | select(.state != "missing") | .name] != ["two"])) | .correlation' \
		"$RDDR_TMP/evidence.jsonl" | sort | uniq -c | awk '{ print $1 }')
	[[ $real == 2 ]]
	grep -q 'gather: deny service=back .* correlation=[0-9a-f]\{32\} why="within 2000 ms nobody else said what two says for that exchange: missing one, three"' \
		"$RDDR_TMP/rddrd.log"
	ctl evidence "$(last .reference)" | grep -q "^correlation"
	run drive 108 9 9 next
	[[ $output == "good 9" ]]
	unseen
}

@test "what RDDR did not make is no correlation: refused at once" {
	correlated 2s
	begin forward forward "forward garble"
	run drive 107 1 1 next
	[[ $output == *"wrong 107"* ]]
	counted back denied_rejected 1
	jq -e -s 'map(select(.service == "back" and .reason == "rejected")) | length == 1 and (.[0].why | contains("nothing of RDDR"))' \
		"$RDDR_TMP/evidence.jsonl"
	unseen
}

@test "a client chooses no correlation, and is told none" {
	local url
	url="http://$(server4 0):8000/seen"
	correlated
	begin forward forward forward
	run in_ns c curl -sS --max-time 60 -i -H "X-RDDR-Correlation: 00000000000000000000000000000000" -H "x_rddr_correlation: mine" "$url"
	echo "$output"
	[[ $output =~ "seen "([0-9a-f]+) ]]
	[[ ${#BASH_REMATCH[1]} == 32 && ${BASH_REMATCH[1]} != 00* && $output != *" and "* ]]
	[[ ${output,,} != *"x-rddr-correlation:"* ]]
	counted front plugin_correlations_removed 2

	# Hidden in what somebody in front of an instance might take out, or put in.
	[[ $(in_ns c curl -sS --max-time 60 -o /dev/null -w '%{http_code}' -H "Connection: X-RDDR-Correlation" "$url") == 400 ]]
	run in_ns c bash -c "exec 3<>/dev/tcp/$(server4 0)/8000; printf 'POST /seen HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX_RDDR-Correlation: a\r\n\r\n' >&3; timeout 60 head -n 1 <&3"
	[[ $output == *" 400 "* ]]
	counted front plugin_rejected 2
}
