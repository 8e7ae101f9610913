#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Three instances of an application, each with a pool of ten connections, on one HTTP backend: exchanges are paired by what they say.

bats_require_minimum_version 1.5.0
load lib

HTTP_JS="$RDDR_ROOT/tests/apps/outgoing/http.js"

# Instances on the server hosts 0 to 2, the backend on host 3; clients reach the instances by RDDR, too.
setup() {
	topology_up 4
	: >"$RDDR_TMP/written"
}
teardown() { topology_down; }

# config [LINES]: of the outgoing service. REPORTS=1: nothing is enforced.
# shellcheck disable=SC2001 # sed indents lines, which an expansion cannot
config() {
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		workers: 2
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		services:
		  front:
		    intercept: { address: $(server4 0), port: 8000, interface: eth-c }
		    instances:
		      - { name: one,   chainer: transparent, forge-addr: true }
		      - { name: two,   chainer: directed, remote: "$(server4 1):8000", forge-addr: true }
		      - { name: three, chainer: directed, remote: "$(server4 2):8000", forge-addr: true }
		    diff-class: http
		    enforcing: $([[ ${REPORTS:-} ]] && echo false || echo true)
		    deadlines: { connect: 30s, skew: 30s, idle: 120s }
		  back:
		    direction: outgoing
		    intercept: { address: [$(server4 3), "$(server6 3)"], port: 9000 }
		    instances:
		      - { name: one,   clients: [$(server4 0), "$(server6 0)"] }
		      - { name: two,   clients: [$(server4 1), "$(server6 1)"] }
		      - { name: three, clients: [$(server4 2), "$(server6 2)"] }
		    diff-class: http
		    enforcing: $([[ ${REPORTS:-} ]] && echo false || echo true)
		    deadlines: { connect: 30s, skew: 30s, idle: 120s }
		$(sed 's/^/    /' <<<"${1:-gather: { partner: 20s \}}")
	END
}

steered() { [[ $(ctl --json status | jq -r .steering.state) == attached ]]; }

# begin [TAMPERED]: everything runs; instance TAMPERED writes what it should not.
begin() {
	local i address=${BACKEND:-$(server4 3)}
	spawn backend s3 node "$HTTP_JS" backend :: 9000 "$RDDR_TMP/written"
	wait_tcp s3 :: 9000
	for i in 0 1 2; do
		spawn "app-$i" "s$i" node "$HTTP_JS" app 0.0.0.0 8000 "$address" 9000 10 ${1:+$([[ $1 == "$i" ]] && echo tamper)}
		wait_tcp "s$i" 0.0.0.0 8000
	done
	attach
	start_rddrd "$RDDR_TMP/rddr.yaml"
	wait_for "steering" 20 steered
}

drive() { in_ns c node "$HTTP_JS" drive "$(server4 0)" 8000 "$@"; }
last() { ctl --json evidence --limit 1 | jq -r ".evidence[0] | $1"; }

# once FIRST COUNT [SOURCE]: each number was written once, with its value, and all from the source.
once() {
	local expected
	expected=$(seq "$1" $(($1 + $2 - 1)) | sed "s/.*/${3:-$(server4 0)} & value-&/" | LC_ALL=C sort)
	diff <(LC_ALL=C sort "$RDDR_TMP/written") - <<<"$expected" >"$RDDR_TMP/diff" || { say "$(head -n 10 "$RDDR_TMP/diff")"; return 1; }
}

@test "pools of ten, ten requests at a time in any order: every write arrives once, and every answer where it belongs" {
	local n=$((${RDDR_OUTGOING_REQUESTS:-2000} / RDDR_LOAD_SCALE))
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
	begin 1
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
