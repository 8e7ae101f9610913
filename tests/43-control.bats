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
	[[ $(say_to_control '{"command":"sessions"}\n{"command":"status"}\n{"command":"x"}\n' | jq -r '.result | keys? // ["x"] | .[0]' | tr '\n' ' ') == "sessions config x " ]]
	# No newline ever.
	run -0 python3 - "$RDDR_CONTROL" <<-'END'
		import socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.settimeout(60)
		s.connect(sys.argv[1])
		try:
		    s.sendall(b"x" * 200000)
		except OSError:
		    pass
		print(s.recv(4096).decode())
	END
	[[ $output == *"longer than 65536 bytes"* ]]
	head -c 1000000 /dev/urandom | timeout 60 socat - "UNIX-CONNECT:$RDDR_CONTROL" >/dev/null || true
	ctl status
	alive rddrd
}

@test "clients that only connect, or never read, do not keep the operator out" {
	shop_up
	python3 - "$RDDR_CONTROL" <<-'END' 3>&- &
		import os, signal, socket, sys
		held = []
		for i in range(200):
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(sys.argv[1])
		    held.append(s)
		for s in held[:100]:
		    try:
		        s.setblocking(False)
		        for i in range(100):
		            s.send(b'{"command":"counters"}\n')
		    except OSError:
		        pass
		print("held", flush=True)
		signal.pause()
	END
	holder=$!
	ctl status
	for _ in 1 2 3 4 5; do
		ctl --json counters >/dev/null
	done
	agreed
	kill "$holder"
	wait "$holder" || true
	ctl status
}

@test "a socket that a killed daemon left is replaced, a living one is not" {
	shop_up
	signal rddrd KILL
	stop rddrd || true
	[[ -S $RDDR_CONTROL ]]
	start_rddrd "$RDDR_TMP/rddr.yaml"
	ctl status
	rddrd_args "$RDDR_TMP/rddr.yaml"
	sed 's/8080/8081/' "$RDDR_TMP/rddr.yaml" >"$RDDR_TMP/second.yaml"
	rddrd_args "$RDDR_TMP/second.yaml"
	run -1 timeout 60 nsenter --net="/run/netns/${RDDR_T}g" -- "${RDDRD[@]}"
	echo "$output"
	[[ $output == *"another daemon answers there"* ]]
	[[ $(ctl --json status | jq .pid) == "$(pid_of rddrd)" ]]
}

@test "hundreds of sessions are listed whole" {
	shop_up
	n=$((300 / RDDR_LOAD_SCALE))
	spawn many c python3 -c '
import signal, socket, sys
held = [socket.create_connection((sys.argv[1], 8080)) for i in range(int(sys.argv[2]))]
signal.pause()
' "$GATEWAY4" "$n"
	wait_for "$n sessions" 60 sessions_are "$n"
	[[ $(ctl sessions | wc -l) == $((n + 1)) ]]
	[[ $(ctl --json sessions | jq '[.sessions[].id] | unique | length') == "$n" ]]
	[[ $(ctl --json sessions | jq .truncated) == false ]]
	stop many
	wait_for "no session" 60 sessions_are 0
}
