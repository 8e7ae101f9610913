#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# rddr-doctor is content with a healthy gateway, finds each thing that is planted, and repairs what it says it can.

bats_require_minimum_version 1.5.0
load lib
load lib-scripts

setup() {
	topology_up 2
	CONFIG="$RDDR_TMP/config.yaml"
	doctor_config "$CONFIG"
	start_nginx 0
	start_nginx 1
}
teardown() {
	script rddr-detach >/dev/null 2>&1 || true
	topology_down
}

@test "content with a healthy gateway, and nothing is changed by looking" {
	gateway_up
	remember
	run -0 doctor
	[[ $output == *"no problems" ]]
	[[ $output != *warning* && $output != *problem\ * ]]
	[[ $output == *"ok       servers: four/live ($(server4 0) port 80) answers"* ]]
	[[ $output == *"ok       servers: four/twin ($(server4 1) port 80) answers"* ]]
	[[ $output == *"ok       servers: six/live ($(server6 0) port 80) answers"* ]]
	run -0 script rddr-doctor
	[[ $output == *"no problems" ]]
	unchanged
}

@test "not attached: says how; --fix attaches to what the config names" {
	run -1 doctor
	[[ $output == *"not attached"* ]]
	[[ $output == *"rddr-attach --interface"*"--pin-dir"* ]]
	run -1 script rddr-doctor --fix
	[[ $output == *"which interfaces to attach to is not known"* ]]
	doctor --fix || true
	filters_of eth-c | grep 0x52444452
}

@test "pins, interfaces and filters" {
	gateway_up
	each_of <<-END
		$RDDR_STEER --pin-dir $RDDR_PIN detach | problem | pins | rules or filters of ours are here | fix
		rm $RDDR_PIN/link | problem | pins | damaged | fix
		$RDDR_STEER --pin-dir $RDDR_PIN detach; $RDDR_STEER --pin-dir $RDDR_PIN attach --config $CONFIG \
			| problem | interfaces | eth-c runs program [0-9]+, not the one | fix
		tc filter del dev eth-c ingress | problem | interfaces | eth-c has no filter | fix
		tc qdisc del dev eth-s1 clsact | problem | interfaces | eth-s1 has no filter | fix
		tc filter add dev eth-c ingress pref 5 protocol ip u32 match u32 0 0 | warning | interfaces \
			| filters of somebody else's before ours: u32 .pref 5 \
			| tc filter del dev eth-c ingress pref 5
		ip link set eth-s1 down | problem | interfaces | eth-s1 is down \
			| ip link set eth-s1 up; ip -6 addr add fd00:0:0:3::1/64 dev eth-s1 nodad
	END
}

@test "an interface that is gone" {
	gateway_up
	in_ns g ip link del eth-s1
	finds problem interfaces "eth-s1 is not there"
}

@test "an XDP program of somebody else's" {
	gateway_up
	cat >"$RDDR_TMP/xdp.c" <<-END
		__attribute__((section("xdp"), used)) int pass(void *context)
		{
			return 2;
		}
	END
	clang -O2 -target bpf -c -o "$RDDR_TMP/xdp.o" "$RDDR_TMP/xdp.c"
	bpftool prog load "$RDDR_TMP/xdp.o" "$RDDR_PIN-xdp" type xdp
	in_ns g bpftool net attach xdpgeneric pinned "$RDDR_PIN-xdp" dev eth-s1
	rm "$RDDR_PIN-xdp"
	finds warning interfaces "eth-s1 has an XDP program"
	in_ns g bpftool net detach xdpgeneric dev eth-s1
	content
}

@test "servers that do not answer" {
	gateway_up
	stop_nginx 1
	finds problem servers "four/twin .*: it refuses connections"
	in_ns s1 ip addr del "$(server4 1)/24" dev eth0
	finds problem servers "four/twin .*: (no answer|No route)"
	doctor_config "$CONFIG" 192.0.2.1:80
	finds problem servers "four/twin .*: there is no route"
}

@test "the daemon: none, dead, hanging; and what its absence has cost" {
	attach --config "$CONFIG" >/dev/null
	finds problem daemon "none has published"
	grep -q "are dropped (when-down: closed)" <<<"$output"
	start_rddrd "$CONFIG"
	content
	signal rddrd STOP
	wait_for "the heartbeat to go stale" 20 finds problem daemon "none is alive: worker 0 has been silent for"
	signal rddrd CONT
	wait_for "a content doctor" 20 content
	stop rddrd KILL
	wait_for "the heartbeat to go stale" 20 finds problem daemon "none is alive"
	run ! in_ns c curl -s --max-time 3 "http://$(server4 0)/"
	finds problem daemon "none is alive"
	grep -qE "^warning +counters: divert_down_dropped is [1-9]" <<<"$output"
}

@test "a config that is wrong, or not the one that is published" {
	gateway_up
	sed -i 's/port: 80,/port: 81,/' "$CONFIG"
	finds warning services "published only: six fd00.* 80 eth-c .*config only: six fd00.* 81 eth-c"
	echo "nonsense: 1" >>"$CONFIG"
	finds problem config "config.yaml cannot be used"
	grep -q "nonsense" <<<"$output"
	run -1 script rddr-doctor --config "$RDDR_TMP/missing.yaml"
	[[ $output == *"missing.yaml"* ]]
}

@test "a config that listens by itself needs nothing attached" {
	cat >"$CONFIG" <<-END
		services:
		  plain:
		    direction: incoming
		    listen: 127.0.0.1:8080
		    instances:
		      - { name: live, chainer: directed, remote: "$(server4 0):80" }
	END
	run -0 doctor
	[[ $output == *"none of which intercepts anything"*"plain/live ($(server4 0) port 80) answers"*"no problems" ]]
}

@test "nothing is published" {
	attach >/dev/null
	finds problem services "none is published"
	doctor --fix || true
	finds problem daemon "none has published"
	grep -qE '^ok +services: four six' <<<"$output"
}

@test "pins of another network namespace" {
	gateway_up
	run -1 in_ns c "$RDDR_ROOT/scripts/rddr-doctor" --pin-dir "$RDDR_PIN"
	grep -E "^problem +pins: .* another network namespace: /run/netns/${RDDR_T}g" <<<"$output"
	stop rddrd
	ip netns del "${RDDR_T}g"
	run -1 in_ns c "$RDDR_ROOT/scripts/rddr-doctor" --pin-dir "$RDDR_PIN"
	grep -E "^problem +pins: .* stale: the network namespace .* is gone" <<<"$output"
}

@test "what is left of an attach that was killed" {
	RDDR_FAIL_AT=steer RDDR_FAIL_HOW=KILL run -137 script rddr-attach --interface eth-c
	finds problem pins "rules or filters of ours are here"
	script rddr-detach
	run -1 doctor
	grep -E "^problem +pins: not attached: nothing is pinned" <<<"$output"
}

@test "without the rights, and without bpffs" {
	run -1 in_ns g setpriv --bounding-set -net_admin,-bpf,-sys_admin --inh-caps -net_admin,-bpf,-sys_admin \
		"$RDDR_ROOT/scripts/rddr-doctor" --pin-dir "$RDDR_PIN"
	grep -E "^problem +rights: CAP_NET_ADMIN and CAP_BPF missing" <<<"$output"
	run -1 ip netns exec "${RDDR_T}g" "$RDDR_ROOT/scripts/rddr-doctor" --pin-dir "$RDDR_PIN"
	grep -E "^problem +pins: /sys/fs/bpf is not mounted in this mount namespace" <<<"$output"
	grep "nsenter --net=" <<<"$output"
}
