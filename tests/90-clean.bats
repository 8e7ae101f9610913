#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Nothing is left behind: not by a test, not by the demo, not when they are cut off in the middle.

load lib

setup() { topology_down; }
teardown() { topology_down; }

steered_config() {
	cat >"$1" <<-END
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		services:
		  shop:
		    direction: incoming
		    intercept: { address: $(server4 0), port: 80 }
		    instances:
		      - { name: live, chainer: transparent, forge-addr: true }
		      - { name: twin, chainer: directed, remote: "$(server4 1):80", forge-addr: true }
	END
}

# What of RDDR the kernel holds by itself, in any namespace: programs, by name.
kernel_programs() { bpftool -j prog list | jq -r '.[] | select(.type == "sk_lookup" or .type == "sched_cls") | .id' | sort; }

@test "a topology taken down half-way through leaves nothing" {
	topology_up
	start_nginx 0
	spawn stubborn c bash -c 'trap "" TERM; while :; do sleep 1; done'
	# An interface and a namespace that are gone already are no hindrance.
	ip -n "${RDDR_T}g" link del eth-s1
	ip netns del "${RDDR_T}s2"
	[ -n "$(leftovers)" ]
	run topology_down
	[ "$status" -ne 0 ] # the stubborn one had to be killed, which is no good end
	run leftovers
	[ "$output" = "$(host_state)" ]
}

@test "with the daemon killed and steering attached, nothing is left" {
	before=$(kernel_programs)
	topology_up 2
	start_nginx 0
	start_nginx 1
	steered_config "$RDDR_TMP/rddr.yaml"
	attach
	start_rddrd "$RDDR_TMP/rddr.yaml"
	in_ns c curl -sSf --max-time 20 "http://$(server4 0)/"
	[ "$(kernel_programs)" != "$before" ]
	stop rddrd KILL
	topology_down
	run leftovers
	[ "$output" = "$(host_state)" ]
	gone() { [ -z "$(comm -13 <(echo "$before") <(kernel_programs))" ] || [ "$(kernel_programs)" = "$before" ]; }
	wait_for "the kernel to let go of the programs" 30 gone
}

# demo_signal SIGNAL LINE: the demo gets the signal when it has printed the line.
demo_signal() {
	spawn demo - env --default-signal=INT DEMO_T="$demo" RDDR_TMP_BASE="$RDDR_TMP/base" tests/demo.sh
	wait_for "the demo's line '$2'" 60 grep -q "$2" "$RDDR_TMP/demo.log"
	run stop demo "$1"
	log_of demo
	if ip netns list | grep -F "$demo"; then
		return 1
	fi
	[ ! -e "/sys/fs/bpf/rddr-${demo%-}" ]
	[ -z "$(ls "$RDDR_TMP/base")" ]
}

@test "the demo cut off leaves nothing, wherever it is" {
	cd "$RDDR_ROOT"
	mkdir -p "$RDDR_TMP/base"
	demo="${RDDR_T%-}d-"
	demo_signal INT "A network:"
	demo_signal TERM "takes its place"
	demo_signal INT "asks for a page"
	demo_signal INT "broken into"
	demo_signal TERM "RDDR leaves"
}
