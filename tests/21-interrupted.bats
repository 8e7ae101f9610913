#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# rddr-attach ended half-way, at each of its steps: nothing remains.

bats_require_minimum_version 1.5.0
load lib
load lib-scripts

setup() {
	rm -rf "$RDDR_PIN"*
	topology_up 1
	# So that --sysctl has something to do.
	in_ns g sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
	remember
}
teardown() {
	detach_all >/dev/null 2>&1 || true
	rm -rf "$RDDR_PIN"*
	topology_down
}

attach_all() { in_ns g "$RDDR_ROOT/scripts/rddr-attach" -i eth-c -i eth-s0 --sysctl --pin-dir "$RDDR_PIN/deep/er"; }
detach_all() { in_ns g "$RDDR_ROOT/scripts/rddr-detach" --pin-dir "$RDDR_PIN/deep/er"; }

# at_each_step HOW STATUS [THEN...]: attach is ended before its first change, its second, and so on until there are
# no more; each time it ends with this status, and after THEN nothing is left.
at_each_step() {
	local how=$1 expected=$2 n
	shift 2
	for ((n = 1; n < 50; n += ${STRIDE:-1})); do
		RDDR_FAIL_AT=$n RDDR_FAIL_HOW=$how run attach_all
		if ((status == 0)); then
			break
		fi
		echo "ended before change $n: status $status: $output"
		((status == expected))
		"$@"
		unchanged
	done
	# 2 directories, 3 sysctls, 4 for routing, the programs, 2 for each interface, and the end.
	((n > 14))
	detach_all
	unchanged
}

@test "a step that fails, each in turn" { at_each_step fail 1 true; }
@test "SIGINT at each step" { at_each_step INT 130 true; }
@test "SIGTERM at each step" { at_each_step TERM 143 true; }
@test "SIGKILL at each step, then detach" { at_each_step KILL 137 detach_all; }

attach_then_detach() { attach_all && detach_all; }
@test "SIGKILL, then attach and detach" { STRIDE=4 at_each_step KILL 137 attach_then_detach; }
@test "SIGHUP" { STRIDE=5 at_each_step HUP 129 true; }

# An rddr-steer that signals the script that runs it, before or after it has done its work.
steer_that_kills() {
	cat >"$RDDR_TMP/steer" <<-END
		#!/bin/bash
		[[ " \$* " == *" attach "* ]] || exec "$RDDR_STEER" "\$@"
		[[ $2 == after ]] || kill -$1 \$PPID
		"$RDDR_STEER" "\$@" || exit
		[[ $2 == before ]] || kill -$1 \$PPID
	END
	chmod +x "$RDDR_TMP/steer"
}

@test "a signal while rddr-steer works" {
	local sig when
	for sig in INT TERM; do
		for when in before after; do
			steer_that_kills $sig $when
			RDDR_STEER="$RDDR_TMP/steer" run attach_all
			((status > 128))
			unchanged
		done
	done
}

@test "rddr-steer that fails" {
	cat >"$RDDR_TMP/steer" <<-END
		#!/bin/bash
		[[ " \$* " != *" attach "* ]] || { echo "no such luck" >&2; exit 1; }
		exec "$RDDR_STEER" "\$@"
	END
	chmod +x "$RDDR_TMP/steer"
	RDDR_STEER="$RDDR_TMP/steer" run -1 attach_all
	[[ $output == *"no such luck"*"undoing"* ]]
	unchanged
}

@test "a second attach that fails takes out what it put in, and no more" {
	in_ns g "$RDDR_ROOT/scripts/rddr-attach" -i eth-c --pin-dir "$RDDR_PIN/deep/er"
	remember
	RDDR_FAIL_AT=end run -1 attach_all
	unchanged
	RDDR_FAIL_AT=filter-eth-s0 RDDR_FAIL_HOW=TERM run attach_all
	unchanged
}

@test "detach goes on behind what fails, and can be run again" {
	attach_all
	RDDR_FAIL_AT=filter-eth-c run -1 detach_all
	[[ $output == *"can be run again"* ]]
	[[ -z $(filters_of eth-s0) && -n $(filters_of eth-c) ]]
	[[ $(in_ns g ip rule) != *"lookup 133"* ]]
	detach_all
	unchanged
}

@test "detach that is interrupted goes on to the end" {
	local sig
	for sig in INT TERM HUP; do
		attach_all
		RDDR_FAIL_AT=2 RDDR_FAIL_HOW=$sig run -0 detach_all
		unchanged
	done
}

@test "detach that is killed can be run again, at each step" {
	local n
	for ((n = 1; n < 50; n++)); do
		attach_all
		RDDR_FAIL_AT=$n RDDR_FAIL_HOW=KILL run detach_all
		if ((status == 0)); then
			break
		fi
		detach_all
		unchanged
	done
	((n > 10))
	unchanged
}
