#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2001 # sed indents lines, which an expansion cannot
# Streams over TLS: how they end, TLS that begins in the middle of one, and what an idle one costs.

bats_require_minimum_version 1.5.0
load lib
load lib-tls

PEER="$RDDR_ROOT/tests/apps/tls/peer.py"

setup() {
	topology_up 2
	pki
}

teardown() { topology_down; }

# stream_config LONE MANY [SERVICE LINES]: the service lines at the gateway's port 7000; instances at port 7001 of both servers.
stream_config() {
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		workers: 1
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		services:
		  lines:
		    listen: 10.0.1.1:7000
		    tls:
		      lone: { certificates: { chain: $PKI/shop.pem, key: $PKI/shop.key }${1:+, $1} }
		      many: { ca: $PKI/ca.pem${2:+, $2} }
		    instances:
		      - { name: one, chainer: directed, remote: "10.0.2.2:7001" }
		      - { name: two, chainer: directed, remote: "10.0.3.2:7001" }
		    deadlines: { connect: 10s, skew: 10s, idle: 60s }
		$(sed 's/^/    /' <<<"${3:-}")
	END
}

# peers HOW [HOW OF THE SECOND] [CERTIFICATE OF THE SECOND]
peers() {
	spawn peer-0 s0 python3 "$PEER" serve 10.0.2.2 7001 "$PKI/inst.pem" "$PKI/inst.key" "$1"
	spawn peer-1 s1 python3 "$PEER" serve 10.0.3.2 7001 "$PKI/${3:-inst}.pem" "$PKI/${3:-inst}.key" "${2:-$1}"
	wait_tcp s0 10.0.2.2 7001
	wait_tcp s1 10.0.3.2 7001
}
ask() { in_ns c timeout 60 python3 "$PEER" ask 10.0.1.1 7000 "$PKI/ca.pem" shop.test "$@"; }
no_sessions() { [[ $(ctl --json status | jq .sessions) == 0 ]]; }
reached() { (($(counter lines "$1") >= $2)); }

@test "half of a stream ends: what was sent arrives whole at every instance, and the answer comes after it" {
	peers echo
	stream_config
	start_rddrd "$RDDR_TMP/rddr.yaml"
	run ask half
	[[ ${#lines[@]} == 3 && ${lines[0]} == "524288 "* && ${lines[1]} == "${lines[0]}" && ${lines[2]} == end ]]
	wait_for "the session's end" 20 no_sessions
	[[ $(counter lines denied) == 0 && $(counter lines tls_truncated) == 0 ]]
}

@test "streams without close_notify are torn: the instances' for the client, the client's for the instances" {
	peers cut
	stream_config
	start_rddrd "$RDDR_TMP/rddr.yaml"
	run ask read
	[[ ${lines[0]} == "cut: hello" && ${lines[1]} == torn* ]]
	[[ $(counter lines tls_truncated) == 2 && $(counter lines denied) == 0 ]]
	stop peer-0
	stop peer-1
	# One that ends in order and one that does not: they differ.
	peers echo
	run ask cut
	[[ $output == hello ]]
	wait_for "the session's end" 20 no_sessions
	reached tls_truncated 3
	reached lone_resets 1
	[[ $(counter lines denied) == 0 ]]
}

# The plugin that begins TLS in the middle, built as anybody's would be.
starttls_config() {
	gcc -shared -fPIC -O1 -Wall -I "$RDDR_ROOT/diff" -o "$RDDR_TMP/starttls.so" "$RDDR_ROOT/tests/plugins/starttls.c"
	stream_config "start: ${1:-required}" "start: required" "diff-class: $RDDR_TMP/starttls.so"
}

@test "TLS that begins in the middle of the stream, on both sides; who does not ask" {
	peers starttls
	starttls_config
	start_rddrd "$RDDR_TMP/rddr.yaml"
	run ask starttls
	[[ ${lines[0]} == hello && ${lines[1]} == "6 "* && ${lines[2]} == end ]]
	[[ $(counter lines tls_handshakes) == 3 && $(counter lines denied) == 0 ]]
	log_of peer-0 | grep -qx "clear STARTTLS"
	run ask clear
	[[ $output != *hello* && $(counter lines denied_rejected) == 1 ]]
	starttls_config offered
	ctl reload
	run ask clear
	[[ ${lines[0]} == hello ]]
	[[ $(counter lines tls_handshakes) == 5 && $(counter lines denied) == 1 ]]
}

@test "bytes in clear in front of a handshake are never taken for encrypted ones" {
	peers starttls
	starttls_config
	start_rddrd "$RDDR_TMP/rddr.yaml"
	run ask starttls-more
	[[ ${lines[0]} == "-DENIED" && $output != *clear* ]]
	[[ $(counter lines denied_rejected) == 1 ]]
	jq -r .why "$RDDR_TMP/evidence.jsonl" | grep -q "bytes in clear came behind the request for TLS"
	! grep -q "in clear" "$RDDR_TMP/peer-0.log" "$RDDR_TMP/peer-1.log" || false
	stop peer-1
	stop peer-0
	peers starttls starttls-more
	run ask starttls
	[[ $output != *hello* && $output != *"more in clear"* ]]
	# Read with the consent they are seen by the plugin's call; read later they are no handshake.
	[[ $(counter lines denied) == 2 ]]
	[[ $(($(counter lines denied_divergence) + $(counter lines denied_missing))) == 1 ]]
}

@test "an instance that does not keep its promise of TLS, or has another's certificate, is missing" {
	make_cert wrong ca DNS:elsewhere.test
	peers starttls starttls wrong
	starttls_config
	start_rddrd "$RDDR_TMP/rddr.yaml"
	run ask starttls
	[[ $output != *hello* && $(counter lines denied_missing) == 1 && $(counter lines tls_verify_wrong_name) == 1 ]]
	log_of rddrd | grep -q "instance two at 10.0.3.2:7001: TLS wrong-name"
}

rss_kib() { awk '/^Pss:/ { print $2 }' "/proc/$(pid_of rddrd)/smaps_rollup"; }

@test "an idle session of three TLS connections takes less than 200 KiB" {
	local n=$((400 / RDDR_LOAD_SCALE)) before after
	peers echo
	stream_config
	start_rddrd "$RDDR_TMP/rddr.yaml"
	spawn warm c python3 "$PEER" ask 10.0.1.1 7000 "$PKI/ca.pem" shop.test idle 10
	wait_for "the first sessions" 60 grep -q ready "$RDDR_TMP/warm.log"
	before=$(rss_kib)
	spawn idle c python3 "$PEER" ask 10.0.1.1 7000 "$PKI/ca.pem" shop.test idle "$n"
	wait_for "the sessions" 120 grep -q ready "$RDDR_TMP/idle.log"
	after=$(rss_kib)
	echo "$(((after - before) * 1024 / n)) bytes a session"
	# The sanitizers have their own idea of memory.
	[[ $RDDR_LOAD_SCALE != 1 ]] || (((after - before) / n < 200))
	[[ $(counter lines denied) == 0 ]]
}

# echo_config: the instances say what they hear, in clear.
echo_config() {
	local i
	for i in 0 1; do
		spawn "echo-$i" "s$i" socat "TCP-LISTEN:7001,bind=$(server4 "$i"),fork,reuseaddr" EXEC:cat
		wait_tcp "s$i" "$(server4 "$i")" 7001
	done
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		workers: 1
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		services:
		  lines:
		    listen: 10.0.1.1:7000
		    tls:
		      lone: { certificates: { chain: $PKI/shop.pem, key: $PKI/shop.key } }
		    instances:
		      - { name: one, chainer: directed, remote: "10.0.2.2:7001" }
		      - { name: two, chainer: directed, remote: "10.0.3.2:7001" }
		    deadlines: { connect: 10s, skew: 30s, idle: 60s }
	END
}
updates() { in_ns c timeout 200 "$RDDR_BUILD/tests/tools/tls-updates" 10.0.1.1 7000 "$@"; }

@test "keys change while records are stuck half-way: every client hears its own bytes, and all of them" {
	local seed total=$((3000000 / RDDR_LOAD_SCALE))
	in_ns g sysctl -qw net.ipv4.tcp_wmem='4096 16384 32768'
	echo_config
	start_rddrd "$RDDR_TMP/rddr.yaml"
	for seed in 1 2 3; do
		spawn "updates-$seed" - bash -c "$(declare -f updates in_ns); updates echo $((seed * 7)) $total"
	done
	for seed in 1 2 3; do
		gone() { ! alive "updates-$seed"; }
		wait_for "the end of client $seed" 200 gone
		log_of "updates-$seed"
		[[ $(log_of "updates-$seed") == "echoed $total" ]]
	done
	[[ $(counter lines tls_broken) == 0 && $(counter lines denied) == 0 ]]
}

@test "a client that only changes its keys, and says nothing, is cut off" {
	echo_config
	start_rddrd "$RDDR_TMP/rddr.yaml"
	run updates flood 1000000
	[[ $output == "ended after "* ]]
	wait_for "the session's end" 20 no_sessions
	[[ $(counter lines tls_broken) == 1 ]]
	# Somebody else is served.
	run updates echo 5 10000
	[[ $output == "echoed 10000" ]]
}
