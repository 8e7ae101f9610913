#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# rddr-status tells what is attached, and whether it is alive, for people and as JSON.

bats_require_minimum_version 1.5.0
load lib
load lib-scripts

setup() {
	topology_up 1
	steering_config "$RDDR_TMP/config.yaml"
}
teardown() {
	script rddr-detach >/dev/null 2>&1 || true
	topology_down
}

@test "not attached" {
	run -1 script rddr-status
	[[ $output == *"not attached"*"$RDDR_PIN"* ]]
	run -1 script rddr-status --json
	jq -e '.attached == false and .live == false and .interfaces == [] and .steering.attached == false' <<<"$output"
}

@test "attached, with no daemon" {
	attach --config "$RDDR_TMP/config.yaml"
	run -1 script rddr-status
	[[ $output == "RDDR is attached here"* ]]
	[[ $output == *"none has published its listeners"* ]]
	grep -E '^four +10.0.2.2/32 +80 +any +all +closed +keep$' <<<"$output"
	grep -E '^eth-s0 +attached$' <<<"$output"
	run -1 script rddr-status --json
	jq -e '.attached and (.live | not) and .routing.ipv4.rule and .routing.ipv6.route' <<<"$output"
	jq -e '.interfaces | sort_by(.name) == [{name: "eth-c", filter: "attached"}, {name: "eth-s0", filter: "attached"}]' <<<"$output"
	jq -e '[.steering.services[].service] == ["four", "six"] and .counters.divert_syn_marked == 0' <<<"$output"
}

@test "attached and alive; the counters count" {
	start_nginx 0
	attach >/dev/null
	start_rddrd "$RDDR_TMP/config.yaml"
	in_ns c curl -sSf --max-time 20 "http://$(server4 0)/" >/dev/null
	run -0 script rddr-status
	grep -E '^daemon +live, [0-9]+ worker' <<<"$output"
	grep -E '^divert_syn_marked +1$' <<<"$output"
	run -0 script rddr-status --json
	jq -e '.attached and .live and .counters.steer_assigned == 1 and (.steering.workers | all(.live))' <<<"$output"
	# Where it is attached is found without being told.
	run -0 in_ns g "$RDDR_ROOT/scripts/rddr-status"
	[[ $output == *"pinned under $RDDR_PIN"* ]]
	signal rddrd STOP
	_not_live() { ! script rddr-status; }
	wait_for "the heartbeat to go stale" 20 _not_live
	run -1 script rddr-status
	grep -E '^daemon +0 of [0-9]+ worker.* live; last heartbeats ago: worker 0: [0-9]+ ms' <<<"$output"
	signal rddrd CONT
}

@test "attached in part" {
	attach >/dev/null
	in_ns g ip rule del pref 133
	in_ns g ip -6 route flush table 133
	in_ns g tc filter del dev eth-s0 ingress
	run -1 script rddr-status
	[[ $output == "RDDR is attached in part here"* ]]
	grep -E '^routing +IPv4 no rule, IPv6 no route ' <<<"$output"
	grep -E '^eth-s0 +no filter$' <<<"$output"
	run -1 script rddr-status --json
	jq -e '(.attached | not) and .routing.ipv4 == {rule: false, route: true}' <<<"$output"
	jq -e '.routing.ipv6 == {rule: true, route: false}' <<<"$output"
	in_ns g ip link del eth-s0
	run -1 script rddr-status
	grep -E '^eth-s0 +not there$' <<<"$output"
}
