#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# rddrctl as an operator uses it: every command, as tables and as JSON, and what it says when it cannot.

bats_require_minimum_version 1.5.0
load lib
load lib-operator

teardown() { topology_down; }

@test "help and version need no daemon" {
	run -0 ctl --help
	[[ $output == "Usage: rddrctl "* ]]
	for command in status services sessions counters evidence reload log-level drain; do
		[[ $output == *"  $command "* ]]
	done
	run -0 ctl --version
	[[ $output == "rddrctl "[0-9]* ]]
}

@test "a wrong command line is status 2, and says what is wrong" {
	wrong() {
		local message=$1
		shift
		run -2 ctl "$@"
		echo "$output"
		[[ $output == *"$message"* ]]
	}
	wrong "a command is wanted"
	wrong "unknown command 'stauts' (did you mean status?)" stauts
	wrong "unknown command 'bla'" bla
	wrong "one argument too many: 'x'" status x
	wrong "a session's number is wanted, not 'x'" sessions x
	wrong "LEVEL is wanted" log-level
	wrong "not 'loud'" log-level loud
	wrong "not '0'" evidence --limit 0
	wrong "not '1001'" evidence --limit 1001
	wrong "--limit is for evidence" status --limit 5
	wrong "--all is for counters" status --all
	wrong "unrecognized option" --frobnicate
}

@test "a daemon that cannot be reached is status 1, with path and reason" {
	mkdir -p "$RDDR_TMP"
	run -1 ctl status
	[[ $output == *"$RDDR_CONTROL: there is no such socket"* ]]
	# What a daemon that was killed leaves behind.
	spawn other - socat -u "UNIX-LISTEN:$RDDR_CONTROL,unlink-close=0" -
	wait_for "the socket" 30 test -S "$RDDR_CONTROL"
	stop other KILL
	run -1 ctl status
	[[ $output == *"$RDDR_CONTROL: no daemon listens there any more"* ]]
	run -1 ctl --json status
	[[ $output != *"{"* ]]
}

@test "status" {
	shop_up
	run -0 ctl status
	echo "$output"
	[[ $output =~ pid\ +$(pid_of rddrd) ]]
	[[ $output =~ config\ +"$RDDR_TMP/rddr.yaml" ]]
	[[ $output =~ steering\ +off ]]
	[[ $output =~ draining\ +no ]]
	ctl --json status | jq -e --argjson pid "$(pid_of rddrd)" \
		'.pid == $pid and .workers == 2 and .services == 1 and .generation == 1 and (.draining | not)'
}

@test "services" {
	shop_up
	agreed
	denied
	run -0 ctl services
	echo "$output"
	[[ $output =~ shop\ +incoming\ +bytes\ +enforce ]]
	[[ $output == *"listens on $GATEWAY4:8080"* ]]
	[[ $output =~ shop\ +2\ +variant\ +directed\ +$(server4 2):80 ]]
	ctl --json services | jq -e '.services[0] | .name == "shop" and .enforcing and .divergences == 1 and .denied == 1 and
		(.instances | map(.name)) == ["live", "twin", "variant"]'
}

@test "sessions come and go, and one is shown with its instances" {
	shop_up
	run -0 ctl sessions
	[[ $output == "no sessions" ]]
	hold_session one
	hold_session two
	wait_for "two sessions" 30 sessions_are 2
	run -0 ctl sessions
	echo "$output"
	[[ ${#lines[@]} == 3 ]]
	[[ ${lines[1]} == *" $CLIENT4:"*" $GATEWAY4:8080 "* ]]
	id=$(ctl --json sessions | jq '.sessions[0].id')
	run -0 ctl sessions "$id"
	echo "$output"
	[[ $output =~ session\ +$id ]]
	[[ $output =~ 1\ +twin\ +$(server4 1):80 ]]
	run -1 ctl sessions 987654321
	[[ $output == *"there is none with the number '987654321'"* ]]
	stop one
	wait_for "one session" 30 sessions_are 1
	stop two
	wait_for "no session" 30 sessions_are 0
}

@test "counters: those that are 0 only when asked for" {
	shop_up
	for _ in 1 2 3; do
		agreed
	done
	denied
	run -0 ctl counters
	echo "$output"
	[[ $output =~ sessions\ +4\ +sessions\ begun ]]
	[[ $output =~ denied_divergence\ +1\  ]]
	[[ $output != *dial_refused* ]]
	run -0 ctl counters --all
	[[ $output =~ dial_refused\ +0\  ]]
	[[ $(counter shop sessions) == 4 ]]
}

@test "reload takes a changed config, and refuses a wrong one with its reason" {
	shop_up
	run -0 ctl reload
	[[ $output == "reloaded, generation 2" ]]
	sed -i 's/diff-class: bytes/diff-clas: bytes/' "$RDDR_TMP/rddr.yaml"
	run -1 ctl reload
	echo "$output"
	[[ $output == "rddrctl: reload: the config in use stays: "* ]]
	wait_for "the reason in the log" 30 grep -q "$RDDR_TMP/rddr.yaml:.*diff-clas" "$RDDR_TMP/rddrd.log"
	[[ $(ctl --json status | jq .generation) == 2 ]]
	agreed
}

@test "log-level" {
	shop_up
	run -0 ctl log-level DEBUG
	[[ $output == "the log level is debug" ]]
	agreed
	ctl log-level error
	denied
	ctl log-level info
	# The daemon writes its lines when it gets to it: what came before its end is there when it has ended.
	denied
	stop rddrd
	log_of rddrd
	[[ $(log_of rddrd | grep -c ' warning verdict: deny ') == 1 ]]
}

@test "drain ends the daemon with its last session" {
	shop_up
	hold_session one
	wait_for "the session" 30 sessions_are 1
	run -0 ctl drain
	[[ $output == "draining: "* ]]
	[[ $(ctl --json status | jq .draining) == true ]]
	run -1 ctl drain
	alive rddrd
	stop one
	wait_for "the daemon's end" 30 eval '! alive rddrd'
}

@test "a daemon that hangs is told apart" {
	shop_up
	signal rddrd STOP
	run -1 ctl status
	signal rddrd CONT
	echo "$output"
	[[ $output == *"$RDDR_CONTROL: no answer in time"* ]]
	ctl status
}

@test "on a terminal no line is longer than it is wide" {
	shop_up
	denied
	hold_session one
	wait_for "the session" 30 sessions_are 1
	for command in status services sessions counters evidence "evidence $(ctl --json evidence | jq -r '.evidence[0].reference')"; do
		script -qec "stty cols 80 && '$RDDR_BUILD/rddrctl' --control '$RDDR_CONTROL' $command" /dev/null </dev/null |
			tr -d '\r' >"$RDDR_TMP/screen"
		cat "$RDDR_TMP/screen"
		[[ -s $RDDR_TMP/screen ]]
		[[ -z $(awk 'length($0) > 80' "$RDDR_TMP/screen") ]]
	done
}

@test "output that cannot be written is an error" {
	shop_up
	run -1 bash -c "'$RDDR_BUILD/rddrctl' --control '$RDDR_CONTROL' status >/dev/full"
	[[ $output == *"standard output: No space left on device"* ]]
}

@test "every example of the manual runs" {
	shop_up
	denied
	reference=$(ctl --json evidence | jq -r '.evidence[0].reference')
	rddrctl() { ctl "$@"; }
	awk '/^\.Sh/ { in_examples = /EXAMPLES/ } /^\.Ed/ { code = 0 } in_examples && code { print } /^\.Bd/ { code = 1 }' \
		"$RDDR_ROOT/docs/rddrctl.8" | sed "s/20[0-9]*-[0-9a-z]*/$reference/; s/\\\\e/\\\\/g" >"$RDDR_TMP/examples"
	[[ $(wc -l <"$RDDR_TMP/examples") -ge 3 ]]
	while read -r example; do
		echo "$example"
		eval "$example"
	done <"$RDDR_TMP/examples"
}
