#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Three instances of an application, each with a pool of ten connections, on one HTTP backend: exchanges are paired by what they say.

bats_require_minimum_version 1.5.0
load lib
load lib-outgoing

setup() {
	topology_up 4
	: >"$RDDR_TMP/written"
}
teardown() { topology_down; }

@test "pools of ten, ten requests at a time in any order: every write arrives once, and every answer where it belongs" {
	local n=$((${RDDR_OUTGOING_REQUESTS:-10000} / RDDR_LOAD_SCALE))
	config
	begin
	run drive 1 "$n" 10
	echo "$output" | tail -n 5
	ctl --json counters | jq -c '.services.back | with_entries(select(.value > 0))'
	[[ $output == "good $n" ]]
	once 1 "$n"
	[[ $(counter back denied) == 0 && $(counter front denied) == 0 ]]
	[[ $(counter back groups) == $((2 * n)) ]]
	# Connection 3 of one instance has other requests than connection 3 of its twin: that is what pairing by exchange is for.
	(($(counter back regroupings) > n / 10))
	(($(counter back backend_reused) > n))
}

@test "over IPv6" {
	config
	BACKEND=$(server6 3) begin
	run drive 1 100 10
	[[ $output == "good 100" ]]
	once 1 100 "$(server6 0)"
}

@test "an instance that was tampered with: its request is stopped before the backend, the others' go on" {
	config "gather: { partner: 2s }"
	begin "" tamper
	run drive 100 6 6
	[[ $output == "good 6" ]]
	run drive 107 1 1
	[[ $output == *"wrong 107"* ]]
	run ! grep -q "stolen" "$RDDR_TMP/written"
	run ! grep -q " 107 " "$RDDR_TMP/written"
	(($(counter back denied) >= 1))
	grep -q stolen "$RDDR_TMP/evidence.jsonl"
	run drive 108 9 9
	[[ $output == "good 9" ]]

	# Report mode: what instance 0 wants is done.
	REPORTS=1 config "gather: { partner: 1s }"
	ctl reload
	run drive 117 1 1
	echo "$output"
	[[ $output == "good 1" ]]
	grep -q " 117 value-117" "$RDDR_TMP/written"
	run ! grep -q "stolen" "$RDDR_TMP/written"
	(($(counter back reported) >= 1))
}

stolen() { grep -q stolen "$RDDR_TMP/evidence.jsonl"; }

@test "others' requests give a tampered one no more time: it is refused at its deadline while they go on" {
	local limit k=200
	config "gather: { partner: 1s }"
	begin "" tamper
	spawn tampered c node "$HTTP_JS" drive "$(server4 0)" 8000 107 1 1
	limit=$((SECONDS + 40))
	until stolen; do
		((SECONDS < limit)) || { say "it waits for ever: $(ctl --json counters | jq -c .services.back)"; return 1; }
		# A slow machine may need more than the second for one of these: what counts is that they go on.
		drive "$k" 6 6 >"$RDDR_TMP/others" || true
		k=$((k + 10))
	done
	wait_for "the refusal" 30 grep -q "wrong 107" "$RDDR_TMP/tampered.log"
	(($(counter back denied) >= 1 && $(counter back groups) > 2))
	run ! grep -q "stolen" "$RDDR_TMP/written"
}
