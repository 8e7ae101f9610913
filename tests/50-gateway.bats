#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The main job: real clients, a real gateway, three real nginx servers that believe they talk to the client; what differs is stopped.

bats_require_minimum_version 1.5.0
load lib

# gateway_config [FILE] [SERVICE LINES]: three forged instances behind the address of server 0, v4 and v6, all of its ports.
# shellcheck disable=SC2001,SC2016 # sed indents lines, which an expansion cannot; single quotes hold another shell's code
gateway_config() {
	cat >"$1" <<-END
		workers: 2
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		services:
		  web4:
		    intercept: { address: 10.0.2.2, port: 80, interface: eth-c }
		    instances:
		      - { name: live,    chainer: transparent, forge-addr: true }
		      - { name: twin,    chainer: directed, remote: "10.0.3.2:80", forge-addr: true }
		      - { name: variant, chainer: directed, remote: "10.0.4.2:80", forge-addr: true }
		    deadlines: { connect: 10s, skew: 10s, idle: 60s }
		$(sed 's/^/    /' <<<"${2:-}")
		  web6:
		    intercept: { address: "fd00:0:0:2::2", port: 80 }
		    instances:
		      - { name: live,    chainer: transparent, forge-addr: true }
		      - { name: twin,    chainer: directed, remote: "[fd00:0:0:3::2]:80", forge-addr: true }
		      - { name: variant, chainer: directed, remote: "[fd00:0:0:4::2]:80", forge-addr: true }
		    deadlines: { connect: 10s, skew: 10s, idle: 60s }
		$(sed 's/^/    /' <<<"${2:-}")
	END
}

setup() {
	topology_up
	for i in 0 1 2; do
		start_nginx "$i" --page "the page"
	done
	gateway_config "$RDDR_TMP/rddr.yaml"
}

teardown() { topology_down; }

begin() {
	attach
	start_rddrd "$RDDR_TMP/rddr.yaml"
	wait_for "steering" 20 steered
}

steered() { [[ $(ctl --json status | jq -r .steering.state) == attached ]]; }
get() { in_ns c curl -sS --max-time 20 "$@"; }
sessions() { ctl --json status | jq .sessions; }
no_sessions() { [[ $(sessions) == 0 ]]; }
descriptors() { find "/proc/$(pid_of rddrd)/fd" -mindepth 1 | wc -l; }
# curl's word for a connection that was reset: before its request was sent, meanwhile, or after.
cut_off() { [[ $1 == 5[256] || $1 == 35 || $1 == 7 ]]; }
denied() { echo $(($(counter web4 denied) + $(counter web6 denied))); }

# The last line of each server's access log names the client.
each_server_saw() {
	for i in 0 1 2; do
		access_log "$i" | tail -n 1 | grep -q "^$1:" || return 1
	done
}

# shellcheck disable=SC2016 # the inner shell's
@test "curl over IPv4 and IPv6: the servers see the client, the client sees the server" {
	begin
	[[ $(get http://10.0.2.2/) == "the page" ]]
	wait_for "three log lines" 20 each_server_saw "$CLIENT4"
	[[ $(get "http://[fd00:0:0:2::2]/") == "the page" ]]
	wait_for "three log lines" 20 each_server_saw "$CLIENT6"

	spawn held4 c bash -c 'exec 9<>/dev/tcp/10.0.2.2/80; printf "GET / HTTP/1.1\r\nHost: x\r\n\r\n" >&9; read -r l <&9; echo "$l"; exec sleep 60'
	spawn held6 c bash -c 'exec 9<>/dev/tcp/fd00:0:0:2::2/80; printf "GET / HTTP/1.1\r\nHost: x\r\n\r\n" >&9; read -r l <&9; echo "$l"; exec sleep 60'
	wait_for "answers" 20 grep -q 200 "$RDDR_TMP/held4.log"
	wait_for "answers" 20 grep -q 200 "$RDDR_TMP/held6.log"
	in_ns c ss -Htn state established | grep -q '10.0.2.2:80'
	in_ns c ss -Htn state established | grep -q '\[fd00:0:0:2::2\]:80'
	[[ $(sessions) == 2 ]]
	# And each server's own view of the same connection.
	for i in 0 1 2; do
		in_ns "s$i" ss -Htn state established | grep -q "10.0.1.2:"
	done
	stop held4 KILL
	stop held6 KILL
	wait_for "the sessions' end" 20 no_sessions
	[[ $(denied) == 0 ]]
}

@test "100,000 requests with keep-alive and 20,000 connections without, by wrk: no error, nothing left open" {
	local before n=$((100000 / RDDR_LOAD_SCALE)) conns=$((20000 / RDDR_LOAD_SCALE)) done=0 round=0
	begin
	get http://10.0.2.2/ >/dev/null
	wait_for "the sessions' end" 20 no_sessions
	before=$(descriptors)
	for url in http://10.0.2.2/ "http://[fd00:0:0:2::2]/"; do
		done=0 round=0
		while ((done < n / 2 && round++ < 60)); do
			run in_ns c wrk -t 2 -c 32 -d 2s "$url"
			[[ $status == 0 && $output != *"Socket errors"* && $output != *"Non-2xx"* ]]
			done=$((done + $(sed -n 's/^ *\([0-9]*\) requests in.*/\1/p' <<<"$output")))
		done
		((done >= n / 2))
		done=0 round=0
		while ((done < conns / 2 && round++ < 60)); do
			run in_ns c wrk -t 2 -c 32 -d 2s -H "Connection: close" "$url"
			# wrk counts the end of each connection that it had asked for as a read error in some versions; only connect and timeout matter here.
			[[ $status == 0 && $output != *"Non-2xx"* && ! $output =~ Socket\ errors:\ connect\ [1-9] && ! $output =~ timeout\ [1-9] ]]
			done=$((done + $(sed -n 's/^ *\([0-9]*\) requests in.*/\1/p' <<<"$output")))
		done
		((done >= conns / 2))
	done
	wait_for "the sessions' end" 30 no_sessions
	[[ $(denied) == 0 ]]
	[[ $(descriptors) == "$before" ]]
	(($(counter web4 sessions) >= conns / 2))
	[[ $(counter web4 sessions) == $(counter web4 sessions_ended) ]]
}

@test "a page that differs at one server is stopped, whichever server it is; the record names the server" {
	local names=(live twin variant)
	begin
	for i in 0 1 2; do
		set_page "$i" "another page"
		run get http://10.0.2.2/
		cut_off "$status" && [[ $output != *page* ]]
		run get "http://[fd00:0:0:2::2]/"
		cut_off "$status" && [[ $output != *page* ]]
		[[ $(ctl --json evidence --limit 1 | jq -r '.evidence[0].minority') == "${names[i]}" ]]
		set_page "$i" "the page"
		[[ $(get http://10.0.2.2/) == "the page" ]]
	done
	[[ $(denied) == 6 ]]
}

@test "a server that refuses, or that a packet filter swallows, denies; and nobody is asked before all are there" {
	gateway_config "$RDDR_TMP/rddr.yaml" "deadlines: { connect: 1s }"
	sed -i '/deadlines: { connect: 10s/d' "$RDDR_TMP/rddr.yaml"
	begin
	[[ $(get http://10.0.2.2/) == "the page" ]]
	wait_for "the sessions' end" 20 no_sessions
	stop_nginx 1
	run get http://10.0.2.2/
	cut_off "$status"
	[[ $(counter web4 dial_refused) == 1 && $(counter web4 denied_missing) == 1 ]]
	start_nginx 1 --page "the page"
	in_ns s1 nft add table inet t
	in_ns s1 nft add chain inet t i '{ type filter hook input priority 0; }'
	in_ns s1 nft add rule inet t i tcp dport 80 drop
	run get http://10.0.2.2/
	cut_off "$status"
	[[ $(counter web4 dial_timed_out) == 1 ]]
	in_ns s1 nft delete table inet t
	[[ $(get http://10.0.2.2/) == "the page" ]]
	# Two denied, two served: the servers that were there were asked twice.
	[[ $(access_log 0 | wc -l) == 2 && $(access_log 2 | wc -l) == 2 ]]
}

# KiB: the most that the daemon ever had resident.
peak() { awk '$1 == "VmHWM:" { print $2 }' "/proc/$(pid_of rddrd)/status"; }

# The bound: what one session may hold (see tests/stream/memory.c) and a worker keeps for the next one.
@test "a stream of 1 GB takes no more memory than one of 10 KB" {
	local large=$((1000000000 / RDDR_LOAD_SCALE)) before
	for i in 0 1 2; do
		truncate -s 10000 "$RDDR_TMP/s$i/www/small"
		truncate -s "$large" "$RDDR_TMP/s$i/www/large"
	done
	begin
	for _ in 1 2 3 4; do
		[[ $(get -o /dev/null -w '%{size_download}' http://10.0.2.2/small) == 10000 ]]
	done
	before=$(peak)
	[[ $(get --max-time 240 -o /dev/null -w '%{size_download}' http://10.0.2.2/large) == "$large" ]]
	say "peak: $before KiB with 10 KB, $(peak) KiB with $large bytes"
	# The sanitizers' shadow and quarantine are not the daemon's.
	((RDDR_LOAD_SCALE > 1)) || (($(peak) - before <= 2048))
	[[ $(denied) == 0 ]]
}

@test "enforcing: false lets the live server through and keeps a record" {
	gateway_config "$RDDR_TMP/rddr.yaml" "enforcing: false"
	begin
	set_page 2 "another page"
	[[ $(get http://10.0.2.2/) == "the page" ]]
	wait_for "the record" 20 bash -c "[[ \$('$RDDR_BUILD/rddrctl' --control '$RDDR_CONTROL' --json evidence | jq -r '.evidence[0] | .action + .minority') == reportvariant ]]"
	stop_nginx 1
	[[ $(get http://10.0.2.2/) == "the page" ]]
	[[ $(denied) == 0 && $(counter web4 reported) -ge 2 ]]
}

# A connection of the client's that has asked once and goes on asking when told to.
hold_session() {
	mkfifo "$RDDR_TMP/more"
	# shellcheck disable=SC2016 # the inner shell's
	spawn held c bash -c 'trap "" PIPE; exec 9<>/dev/tcp/10.0.2.2/80; printf "GET /held-1 HTTP/1.1\r\nHost: x\r\n\r\n" >&9
		read -r l <&9; echo "$l"; read -r _ <"$1"; printf "GET /held-2 HTTP/1.1\r\nHost: x\r\n\r\n" >&9 || true; echo sent; exec sleep 60' - "$RDDR_TMP/more"
	wait_for "the first answer" 20 grep -q HTTP "$RDDR_TMP/held.log"
}

asked() { access_log "$1" | grep -c "$2" || true; }

after_death() { # closed|open
	gateway_config "$RDDR_TMP/rddr.yaml" "when-down: $1"
	begin
	hold_session
	for i in 0 1 2; do
		wait_for "the log" 20 bash -c "grep -q held-1 '$RDDR_TMP/s$i/access.log'"
	done
	stop rddrd KILL
	# The heartbeat grows stale; until then a SYN waits in vain, and is sent again.
	if [[ $1 == open ]]; then
		wait_for "the server, as if RDDR were not there" 30 in_ns c curl -sf --max-time 2 http://10.0.2.2/
		[[ $(in_ns c curl -s --max-time 10 http://10.0.2.2/direct-path -o /dev/null -w '%{remote_ip}') == 10.0.2.2 ]]
	else
		wait_for "drops" 30 bash -c "! nsenter --net=/run/netns/${RDDR_T}c curl -sf --max-time 1 http://10.0.2.2/ &&
			(( \$('$RDDR_STEER' --pin-dir '$RDDR_PIN' counters --json | jq .divert_down_dropped) > 0 ))"
		[[ $(asked 0 'GET / ') == 0 ]]
	fi
	echo >"$RDDR_TMP/more"
	wait_for "the second request" 20 grep -q sent "$RDDR_TMP/held.log"
	run in_ns c curl -s --max-time 2 "http://10.0.2.2/after"
	# Nothing of a session that was under way has reached a server.
	for i in 0 1 2; do
		[[ $(asked "$i" held-2) == 0 ]]
	done
	start_rddrd "$RDDR_TMP/rddr.yaml"
	wait_for "new connections" 20 bash -c "[[ \$(nsenter --net=/run/netns/${RDDR_T}c curl -s --max-time 5 http://10.0.2.2/) == 'the page' ]]"
	(($(counter web4 sessions) > 0))
	[[ $(asked 0 held-2) == 0 ]]
	stop held KILL
}

@test "kill -9, when-down: closed: new connections are dropped, no byte of a session reaches a server, a restart needs no attach" {
	after_death closed
}

@test "kill -9, when-down: open: new connections reach the server, no byte of a session does" {
	after_death open
}

after_stop() { # closed|open
	gateway_config "$RDDR_TMP/rddr.yaml" "when-down: $1"
	begin
	hold_session
	kill -STOP "$(pid_of rddrd)"
	if [[ $1 == open ]]; then
		wait_for "the server, as if RDDR were not there" 30 bash -c "[[ \$(nsenter --net=/run/netns/${RDDR_T}c curl -s --max-time 2 http://10.0.2.2/) == 'the page' ]]"
	else
		wait_for "drops" 30 bash -c "! nsenter --net=/run/netns/${RDDR_T}c curl -sf --max-time 1 http://10.0.2.2/ &&
			(( \$('$RDDR_STEER' --pin-dir '$RDDR_PIN' counters --json | jq .divert_down_dropped) > 0 ))"
	fi
	echo >"$RDDR_TMP/more"
	wait_for "the second request" 20 grep -q sent "$RDDR_TMP/held.log"
	[[ $(asked 0 held-2) == 0 ]]
	kill -CONT "$(pid_of rddrd)"
	# It was only asleep: the session goes on, and so do new ones.
	wait_for "the session to go on" 20 bash -c "grep -q held-2 '$RDDR_TMP/s0/access.log' && grep -q held-2 '$RDDR_TMP/s2/access.log'"
	wait_for "new connections" 20 bash -c "[[ \$(nsenter --net=/run/netns/${RDDR_T}c curl -s --max-time 5 http://10.0.2.2/) == 'the page' ]]"
	stop held KILL
}

@test "SIGSTOP, when-down: closed: a daemon that hangs is found out; awake again it goes on" {
	after_stop closed
}

@test "SIGSTOP, when-down: open: a daemon that hangs is found out; awake again it goes on" {
	after_stop open
}

@test "attached before the daemon, after it, and again under it: it follows" {
	start_rddrd "$RDDR_TMP/rddr.yaml"
	[[ $(ctl --json status | jq -r .steering.state) == detached ]]
	[[ $(get http://10.0.2.2/) == "the page" ]]
	[[ $(counter web4 sessions) == 0 ]]
	attach
	wait_for "steering" 20 steered
	[[ $(get http://10.0.2.2/) == "the page" ]]
	[[ $(counter web4 sessions) == 1 ]]
	detach
	wait_for "the news" 20 bash -c "[[ \$('$RDDR_BUILD/rddrctl' --control '$RDDR_CONTROL' --json status | jq -r .steering.state) == detached ]]"
	[[ $(get http://10.0.2.2/) == "the page" ]]
	[[ $(counter web4 sessions) == 1 ]]
	attach
	wait_for "steering" 20 steered
	[[ $(get http://10.0.2.2/) == "the page" ]]
	[[ $(counter web4 sessions) == 2 ]]
}

# The rules that are published for an interface, as the kernel programs know it; a number stands for one that is gone.
rules_for() { in_ns g "$RDDR_STEER" --pin-dir "$RDDR_PIN" list --json | jq -e --arg name "$1" '.services[] | select(.interface == $name)'; }
no_rules_for() { ! rules_for "$1"; }

@test "an interface that comes later, and one that comes again, is taken in without a reload" {
	sed -i 's/interface: eth-c/interface: late0/' "$RDDR_TMP/rddr.yaml"
	begin
	no_rules_for late0
	for _ in 1 2; do
		in_ns g ip link add late0 type veth peer name late1
		wait_for "the rule" 20 rules_for late0
		in_ns g ip link del late0
		wait_for "the rule to go" 20 no_rules_for late0
	done
	grep -q "there is no interface late0" "$RDDR_TMP/rddrd.log"
}

@test "a takeover under load loses no connection; a reload neither" {
	begin
	spawn load c wrk -t 1 -c 16 -d 8s -H "Connection: close" http://10.0.2.2/
	wait_for "load" 20 bash -c "(( \$('$RDDR_BUILD/rddrctl' --control '$RDDR_CONTROL' --json counters | jq .services.web4.sessions) > 200 ))"
	rddrd_args "$RDDR_TMP/rddr.yaml" --takeover
	spawn second g "${RDDRD[@]}"
	wait_for "the first to go" 40 bash -c "! kill -0 $(pid_of rddrd)"
	_rddrd_up second
	kill -HUP "$(pid_of second)"
	wait_for "the reload" 20 bash -c "(( \$('$RDDR_BUILD/rddrctl' --control '$RDDR_CONTROL' --json status | jq .generation) == 2 ))"
	wait_for "the end of the load" 40 bash -c "! kill -0 $(pid_of load)"
	run log_of load
	[[ $output == *"requests in"* && $output != *"Non-2xx"* ]]
	[[ ! $output =~ Socket\ errors:\ connect\ [1-9] && ! $output =~ read\ [1-9] && ! $output =~ timeout\ [1-9] ]]
	[[ $(denied) == 0 ]]
	(($(counter web4 sessions) > 0))
}

steer_list() { in_ns g "$RDDR_BUILD/rddr-steer" --pin-dir "$RDDR_PIN" list --json; }
# What the kernel steers by, and to which workers.
kernel_state() { steer_list | jq -S '[.services, (.workers | map([.worker, .live, .ipv4, .ipv6]))]'; }

# still_served: a new connection of each family reaches the first daemon, at once.
still_served() {
	local n4 n6
	n4=$(counter web4 sessions) n6=$(counter web6 sessions)
	[[ $(get --max-time 5 http://10.0.2.2/) == "the page" ]] &&
		[[ $(get --max-time 5 "http://[fd00:0:0:2::2]/") == "the page" ]] &&
		(($(counter web4 sessions) == n4 + 1 && $(counter web6 sessions) == n6 + 1)) &&
		[[ $(ctl --json status | jq .pid) == "$(pid_of rddrd)" ]]
}

# another_config: as the one in use, but for the number of workers and the second service, which is left out.
another_config() { sed -e 's/^workers: .*/workers: 4/' -e '/^  web6:/,$d' "$RDDR_TMP/rddr.yaml" >"$RDDR_TMP/another.yaml"; }

@test "a second daemon without --takeover fails, and the first one's traffic stays its own" {
	local before
	begin
	still_served
	before=$(kernel_state)
	another_config
	rddrd_args "$RDDR_TMP/another.yaml"
	run -1 timeout 60 nsenter --net="/run/netns/${RDDR_T}g" -- "${RDDRD[@]}"
	echo "$output"
	[[ $output == *"another daemon answers there"*"--takeover"* ]]
	[[ $(kernel_state) == "$before" ]]
	still_served
}

@test "a takeover that cannot publish steering fails, and the one before goes on" {
	local before
	begin
	still_served
	before=$(kernel_state)
	another_config
	rddrd_args "$RDDR_TMP/another.yaml" --takeover
	run -1 timeout 60 nsenter --net="/run/netns/${RDDR_T}g" -- "${RDDRD[@]}" --pin-dir "$RDDR_PIN-nowhere"
	echo "$output"
	[[ $output == *"steers connections, and this one cannot"*"$RDDR_PIN-nowhere"*"it goes on"* ]]
	still_served
	# Nor without rules of its own: what the first one's tables steer would be nobody's.
	printf 'services: { own: { listen: "%s:8080", instances: [ { name: a, chainer: directed, remote: "10.0.2.2:80" } ] } }\n' \
		"$GATEWAY4" >"$RDDR_TMP/another.yaml"
	run -1 timeout 60 nsenter --net="/run/netns/${RDDR_T}g" -- "${RDDRD[@]}" --pin-dir "$RDDR_PIN-nowhere"
	[[ $output == *"steers connections, and this one cannot"* ]]
	[[ $(kernel_state) == "$before" ]]
	still_served
}

@test "a takeover that fails when it has published is undone" {
	local before
	begin
	still_served
	before=$(kernel_state)
	another_config
	rddrd_args "$RDDR_TMP/another.yaml" --takeover
	# The service manager cannot be told, so the first one is not told to retire.
	run -1 timeout 60 nsenter --net="/run/netns/${RDDR_T}g" -- env NOTIFY_SOCKET="$RDDR_TMP/nobody" "${RDDRD[@]}"
	echo "$output"
	[[ $output == *"steering published"*"does not retire"* ]]
	[[ $(kernel_state) == "$before" ]]
	still_served
}

@test "a daemon that begins without intercept says what is steered to nobody, and leaves it: somebody may want it closed" {
	begin
	still_served
	printf 'services: { own: { listen: "%s:8080", instances: [ { name: a, chainer: directed, remote: "10.0.2.2:80" } ] } }\n' \
		"$GATEWAY4" >"$RDDR_TMP/own.yaml"
	rddrd_args "$RDDR_TMP/own.yaml"
	# Beside the first one, with a control socket of its own.
	local before
	before=$(kernel_state)
	spawn beside g "${RDDRD[@]}" --control "$RDDR_TMP/beside.sock"
	wait_for "the one beside" 20 "$RDDR_BUILD/rddrctl" --control "$RDDR_TMP/beside.sock" status
	sleep 1 # twice its upkeep
	[[ $(kernel_state) == "$before" ]]
	stop beside
	still_served
	stop rddrd
	start_rddrd "$RDDR_TMP/own.yaml"
	wait_for "the warning" 20 grep -q "steer services of another config to nobody" "$RDDR_TMP/rddrd.log"
	[[ $(steer_list | jq '.services | length') != 0 ]]
	run ! get --max-time 3 http://10.0.2.2/
	# As it says.
	in_ns g "$RDDR_ROOT/scripts/rddr-attach" --interface eth-c --config "$RDDR_TMP/own.yaml" --pin-dir "$RDDR_PIN"
	# By the server itself, without anybody in between.
	[[ $(get --max-time 5 http://10.0.2.2/) == "the page" ]]
	# And the other way: rules by a reload.
	cp "$RDDR_TMP/rddr.yaml" "$RDDR_TMP/own.yaml"
	ctl reload
	wait_for "steering" 20 steered
	still_served
}

@test "a takeover by a daemon without intercept empties the table" {
	begin
	still_served
	printf 'services: { own: { listen: "%s:8080", instances: [ { name: a, chainer: directed, remote: "10.0.2.2:80" } ] } }\n' \
		"$GATEWAY4" >"$RDDR_TMP/own.yaml"
	rddrd_args "$RDDR_TMP/own.yaml" --takeover
	# First one that fails when it has done so.
	local before
	before=$(kernel_state)
	run -1 timeout 60 nsenter --net="/run/netns/${RDDR_T}g" -- env NOTIFY_SOCKET="$RDDR_TMP/nobody" "${RDDRD[@]}"
	[[ $output == *"is steered no more"*"does not retire"* ]]
	[[ $(kernel_state) == "$before" ]]
	still_served
	spawn second g "${RDDRD[@]}"
	wait_for "the first to go" 40 bash -c "! kill -0 $(pid_of rddrd)"
	[[ $(steer_list | jq '.services | length') == 0 ]]
	[[ $(get --max-time 5 http://10.0.2.2/) == "the page" ]]
}

# Each takes two entries of the kernel's table.
too_many_addresses() {
	local i
	sed -e '/^  web6:/,$d' "$RDDR_TMP/rddr.yaml"
	printf '  many:\n    instances: [ { name: live, chainer: transparent } ]\n    intercept:\n      port: 81\n      address:\n'
	for ((i = 0; i < 2100; i++)); do
		echo "        - 10.$((100 + i / 250)).$((i % 250)).1"
	done
}

@test "a config with more rules than the kernel's table holds is refused: checked, at the start, and by a reload" {
	local before
	begin
	still_served
	before=$(kernel_state)
	cp "$RDDR_TMP/rddr.yaml" "$RDDR_TMP/good.yaml"
	too_many_addresses >"$RDDR_TMP/many.yaml"
	run -1 "$RDDR_BUILD/rddrd" --config "$RDDR_TMP/many.yaml" --check
	[[ $output == *"the service table is full"*4096* ]]
	cp "$RDDR_TMP/many.yaml" "$RDDR_TMP/rddr.yaml"
	run -1 ctl reload
	echo "$output"
	[[ $output == *"the config in use stays"*"rules do not fit"* ]]
	grep -q "the service table is full" "$RDDR_TMP/rddrd.log"
	[[ $(ctl --json status | jq -r '[.generation, .services, .steering.state] | join(" ")') == "1 2 attached" ]]
	[[ $(kernel_state) == "$before" ]]
	still_served
	cp "$RDDR_TMP/good.yaml" "$RDDR_TMP/rddr.yaml"
	[[ $(ctl --json reload | jq .generation) == 2 ]]
	stop rddrd
	rddrd_args "$RDDR_TMP/many.yaml"
	run -1 timeout 60 nsenter --net="/run/netns/${RDDR_T}g" -- "${RDDRD[@]}"
	[[ $output == *"the service table is full"* ]]
}

@test "a service added by a reload is steered, one removed is let pass" {
	begin
	start_nginx other --ns s0 --port 8080 --page "the other page"
	start_nginx other1 --ns s1 --port 8080 --page "the other page"
	[[ $(get http://10.0.2.2:8080/) == "the other page" ]]
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		workers: 2
		services:
		  other:
		    intercept: { address: 10.0.2.0/24, port: 8080 }
		    instances:
		      - { name: live, chainer: transparent, forge-addr: true }
		      - { name: twin, chainer: directed, remote: "10.0.3.2:8080", forge-addr: true, forge-port: [exact, any] }
	END
	[[ $(ctl --json reload | jq .generation) == 2 ]]
	wait_for "the new service" 20 bash -c "nsenter --net=/run/netns/${RDDR_T}c curl -s --max-time 5 http://10.0.2.2:8080/ | grep -q other &&
		(( \$('$RDDR_BUILD/rddrctl' --control '$RDDR_CONTROL' --json counters | jq .services.other.sessions) > 0 ))"
	local n
	n=$(counter web4 sessions)
	[[ $(get http://10.0.2.2/) == "the page" ]]
	[[ $(counter web4 sessions) == "$n" ]]
	# A config with an error changes nothing.
	echo "nonsense: 1" >>"$RDDR_TMP/rddr.yaml"
	run ctl reload
	[[ $status == 1 && $output == *"stays"* ]]
	[[ $(ctl --json status | jq .generation) == 2 ]]
	[[ $(get http://10.0.2.2:8080/) == "the other page" ]]
}
