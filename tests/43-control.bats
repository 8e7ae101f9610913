#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The control socket against clients that do not know the protocol, do not read, or are too many.

bats_require_minimum_version 1.5.0
load lib
load lib-operator

teardown() { topology_down; }

# say TEXT: to the control socket, and what it answers until the end.
say_to_control() { printf '%b' "$1" | timeout "$((60 * RDDR_PATIENCE))" socat -t 30 - "UNIX-CONNECT:$RDDR_CONTROL"; }

@test "the socket is for its owner and group, and goes with the daemon" {
	shop_up
	[[ $(stat -c '%a %F' "$RDDR_CONTROL") == "660 socket" ]]
	stop rddrd
	[[ ! -e $RDDR_CONTROL ]]
}

@test "requests by hand, and what are none" {
	shop_up
	[[ $(say_to_control '{"command":"log-level","level":"info"}\n') == '{"ok":true,"result":{"level":"info"}}' ]]
	[[ $(say_to_control 'hello\n\xff\xfe\n{"command":"status"\n' | grep -c '"ok":false') == 3 ]]
	[[ $(say_to_control '{"command":"frobnicate"}\n') == *'unknown command: frobnicate'* ]]
	# In order, and all of them.
	say_to_control '{"command":"sessions"}\n{"command":"status"}\n{"command":"x"}\n' >"$RDDR_TMP/answers"
	[[ $(jq -r '.result | keys? // ["x"] | .[0]' "$RDDR_TMP/answers" | tr '\n' ' ') == "sessions config x " ]]
	# No newline ever.
	head -c 200000 /dev/zero | timeout 60 socat - "UNIX-CONNECT:$RDDR_CONTROL" || true
	head -c 1000000 /dev/urandom | timeout 60 socat - "UNIX-CONNECT:$RDDR_CONTROL" >/dev/null || true
	ctl status
	alive rddrd
}

@test "clients that only connect, or never read, do not keep the operator out" {
	shop_up
	mkfifo "$RDDR_TMP/never"
	# Each sends some requests, reads no answer, and stays until the FIFO ends, which it does not.
	# shellcheck disable=SC2016 # for the inner shell
	spawn hogs c bash -c 'exec 9<>"$1"
		for i in {1..70}; do
			(for j in {1..50}; do echo "{\"command\":\"counters\"}"; done; exec cat <&9) | socat -u - "UNIX-CONNECT:$0" &
		done
		wait' "$RDDR_CONTROL" "$RDDR_TMP/never"
	connected() { (($(find "/proc/$(pid_of rddrd)/fd" -lname 'socket:*' | wc -l) >= 60)); }
	wait_for "many clients" 60 connected
	wait_for "an answer" 60 ctl status
	for _ in 1 2 3 4 5; do
		wait_for "an answer" 60 ctl --json counters
	done
	agreed
	stop hogs
	wait_for "an answer" 60 ctl status
}

@test "a socket that a killed daemon left is replaced, a living one is not" {
	shop_up
	signal rddrd KILL
	stop rddrd || true
	[[ -S $RDDR_CONTROL ]]
	start_rddrd "$RDDR_TMP/rddr.yaml"
	ctl status
	sed 's/8080/8081/' "$RDDR_TMP/rddr.yaml" >"$RDDR_TMP/second.yaml"
	rddrd_args "$RDDR_TMP/second.yaml"
	run -1 timeout 60 nsenter --net="/run/netns/${RDDR_T}g" -- "${RDDRD[@]}"
	echo "$output"
	[[ $output == *"another daemon answers there"* ]]
	[[ $(ctl --json status | jq .pid) == "$(pid_of rddrd)" ]]
}

# loaded N: until the daemon has had N sessions.
loaded() { (($(counter shop sessions) > $1)); }

@test "a second daemon takes no connection of the first one's, at the same address" {
	shop_up
	spawn load c wrk -t 1 -c 16 -d 4s -H "Connection: close" "$SHOP/"
	wait_for "load" 20 loaded 100
	rddrd_args "$RDDR_TMP/rddr.yaml"
	for _ in 1 2 3 4 5; do
		run -1 timeout 60 nsenter --net="/run/netns/${RDDR_T}g" -- "${RDDRD[@]}"
		[[ $output == *"another daemon answers there"*"--takeover"* ]]
	done
	wait_for "the end of the load" 40 gone "$(pid_of load)"
	run log_of load
	echo "$output"
	[[ $output == *"requests in"* && $output != *"Non-2xx"* ]]
	[[ ! $output =~ Socket\ errors:\ connect\ [1-9] && ! $output =~ read\ [1-9] && ! $output =~ timeout\ [1-9] ]]
	[[ $(ctl --json status | jq .pid) == "$(pid_of rddrd)" ]]
	agreed
}
gone() { ! kill -0 "$1" 2>/dev/null; }

@test "of daemons that start at the same time one serves, and the others say so" {
	local i
	shop_up
	stop rddrd
	rddrd_args "$RDDR_TMP/rddr.yaml"
	for i in 1 2 3 4 5 6; do
		spawn "racer$i" g "${RDDRD[@]}"
	done
	one_left() { (($(racers) == 1)); }
	racers() {
		local n=0 i
		for i in 1 2 3 4 5 6; do
			! alive "racer$i" || n=$((n + 1))
		done
		echo "$n"
	}
	wait_for "one to be left" 60 one_left
	wait_for "an answer" 60 ctl status
	(($(cat "$RDDR_TMP"/racer*.log | grep -c "another daemon answers there") == 5))
	agreed
}

@test "a reload whose new address is in use is refused, and the old one is served on" {
	shop_up
	spawn taken g socat "TCP4-LISTEN:8081,bind=$GATEWAY4,fork" "SYSTEM:echo taken"
	wait_tcp g "$GATEWAY4" 8081
	cp "$RDDR_TMP/rddr.yaml" "$RDDR_TMP/good.yaml"
	# One that can be had, too, before the one that cannot.
	sed -e "s/listen: $GATEWAY4:8080/listen: $GATEWAY4:8081/" -e '/^services:/a\  free: { listen: "'"$GATEWAY4"':8082", instances: [ { name: a, chainer: directed, remote: "'"$(server4 0)"':80" } ] }' \
		"$RDDR_TMP/good.yaml" >"$RDDR_TMP/rddr.yaml"
	for _ in 1 2; do
		run -1 ctl reload
		echo "$output"
		[[ $output == *"the config in use stays"*"not every service can listen"* ]]
		grep -q "cannot listen at $GATEWAY4:8081 for shop" "$RDDR_TMP/rddrd.log"
		[[ $(ctl --json status | jq -r '[.generation, .services] | join(" ")') == "1 1" ]]
		agreed
		[[ -z $(in_ns g ss -Hltn sport = :8082) ]]
	done
	stop taken
	run -0 ctl reload
	[[ $(in_ns c curl -sS --max-time 20 "http://$GATEWAY4:8081/") == "page of the house" ]]
	[[ $(in_ns c curl -sS --max-time 20 "http://$GATEWAY4:8082/") == "page of the house" ]]
	old_gone() { [[ -z $(in_ns g ss -Hltn sport = :8080) ]]; }
	wait_for "the old one to go" 20 old_gone
}

generation_is() { [[ $(ctl --json status | jq .generation) == "$1" ]]; }

@test "SIGHUP while the config is being read: it is read once more" {
	shop_up
	cp "$RDDR_TMP/rddr.yaml" "$RDDR_TMP/old.yaml"
	sed 's/8080/8081/' "$RDDR_TMP/old.yaml" >"$RDDR_TMP/new.yaml"
	# As long as somebody has the FIFO open for writing, the file does not end.
	mkfifo "$RDDR_TMP/fifo"
	exec 7<>"$RDDR_TMP/fifo"
	mv "$RDDR_TMP/fifo" "$RDDR_TMP/rddr.yaml"
	signal rddrd HUP
	wait_for "the reload" 20 grep -q "reload: reads" "$RDDR_TMP/rddrd.log"
	# The one that reads has the FIFO open.
	reads() { (($(find "/proc/$(pid_of rddrd)/fd" -lname '*/rddr.yaml' | wc -l) == 1)); }
	wait_for "the file to be open" 20 reads
	run -1 ctl reload
	[[ $output == *"is under way"* ]]
	mv "$RDDR_TMP/new.yaml" "$RDDR_TMP/rddr.yaml"
	signal rddrd HUP
	signal rddrd HUP
	wait_for "the signal" 20 grep -q "there will be another one" "$RDDR_TMP/rddrd.log"
	cat "$RDDR_TMP/old.yaml" >&7
	exec 7>&-
	wait_for "the second reload" 20 generation_is 3
	[[ $(in_ns c curl -sS --max-time 20 "http://$GATEWAY4:8081/") == "page of the house" ]]
}

@test "hundreds of sessions are listed whole" {
	shop_up
	n=$((300 / RDDR_LOAD_SCALE))
	mkfifo "$RDDR_TMP/hold"
	# shellcheck disable=SC2016 # for the inner shell
	spawn many c bash -c 'exec "$@" <>"$0"' "$RDDR_TMP/hold" "$RDDR_BUILD/tests/tools/idle-conns" "$GATEWAY4" 8080 "$n" /
	wait_for "$n sessions" 60 sessions_are "$n"
	[[ $(ctl sessions | wc -l) == $((n + 1)) ]]
	[[ $(ctl --json sessions | jq '[.sessions[].id] | unique | length') == "$n" ]]
	[[ $(ctl --json sessions | jq .truncated) == false ]]
	stop many
	wait_for "no session" 60 sessions_are 0
}
