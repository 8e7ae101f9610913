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

# The kernel's numbers of the programs that attach pinned, of which a filter or a link may hold on to one.
programs() { for name in divert steer; do bpftool -j prog show pinned "$RDDR_PIN/$name" | jq .id; done; }
in_kernel() { bpftool -j prog list | jq -e --argjson id "$1" 'any(.[]; .id == $id)'; }

nothing_left() {
	run leftovers
	echo "left: $output"
	[ -z "$output" ]
}

@test "a topology taken down half-way through leaves nothing" {
	topology_up
	start_nginx 0
	spawn stubborn c bash -c 'trap "" TERM; while :; do sleep 1; done'
	# An interface and a namespace that are gone already are no hindrance.
	ip -n "${RDDR_T}g" link del eth-s1
	ip netns del "${RDDR_T}s2"
	[ -n "$(leftovers)" ]
	RDDR_END_SECONDS=2 run topology_down
	[ "$status" -ne 0 ] # the stubborn one had to be killed, which is no good end
	nothing_left
}

@test "with the daemon killed and steering attached, nothing is left" {
	topology_up 2
	start_nginx 0
	start_nginx 1
	steered_config "$RDDR_TMP/rddr.yaml"
	attach
	start_rddrd "$RDDR_TMP/rddr.yaml"
	in_ns c curl -sSf --max-time 20 "http://$(server4 0)/"
	ids=$(programs)
	[ "$(wc -w <<<"$ids")" -eq 2 ]
	for id in $ids; do
		in_kernel "$id"
	done
	stop rddrd KILL
	topology_down
	nothing_left
	for id in $ids; do
		gone() { ! in_kernel "$id"; }
		wait_for "the kernel to let go of program $id" 30 gone
	done
}

@test "what a sanitizer or valgrind reports of a process is a failure of its test" {
	mkdir -p "$RDDR_TMP"
	spawn good - echo "all is well"
	topology_down
	for report in "==7==ERROR: AddressSanitizer: heap-use-after-free" "x.c:1:2: runtime error: signed integer overflow" \
		"==7==ERROR: LeakSanitizer: detected memory leaks"; do
		mkdir -p "$RDDR_TMP"
		spawn bad - echo "$report"
		run topology_down
		[ "$status" -eq 1 ]
		[[ $output == *"$report"* ]]
	done
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
