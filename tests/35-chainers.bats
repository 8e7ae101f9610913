#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# How the daemon dials: forged sources seen by a real server, failures told apart, the ladder of forged ports. No kernel programs are
# attached: a rule brings what the server answers to the clients' network back to the gateway's own sockets.

bats_require_minimum_version 1.5.0
load lib

setup() {
	topology_up 1
	in_ns g ip rule add pref 100 iif eth-s0 to 10.0.1.0/24 lookup 133
	in_ns g ip route add local default dev lo table 133
	in_ns g ip -6 rule add pref 100 iif eth-s0 to fd00:0:0:1::/64 lookup 133
	in_ns g ip -6 route add local default dev lo table 133
	in_ns g sysctl -qw net.ipv4.tcp_tw_reuse=0
	# The server says whom it sees.
	# shellcheck disable=SC2016 # nginx's variables
	start_nginx 0 --conf 'location / { return 200 "you are $remote_addr $remote_port\n"; }'
	FOUR="$(server4 0):80"
	SIX="[$(server6 0)]:80"
}
teardown() { topology_down; }

GET=$'GET / HTTP/1.0\r\n\r\n'

# dial ARGS: on the gateway; the bound is for a hang alone.
dial() { in_ns g timeout "$((120 * RDDR_PATIENCE))" "$RDDR_BUILD/tests/tools/dial" "$@" </dev/null; }

# expect OUTCOME ERROR ARGS...: one dial, how it must end, and with which errno ("-": none).
expect() {
	local outcome=$1 error=$2 status=1
	shift 2
	[[ $outcome != connected ]] || status=0
	run "-$status" dial "$@"
	echo "$output"
	[[ ${lines[0]} == "$outcome "*" error=$error" ]]
}
# The local port of the last dial.
port() { sed -n '1s/.* local=[^ ]*:\([0-9]*\) .*/\1/p' <<<"$output"; }

# hold NAME ARGS: a dial that keeps its connections until it is stopped.
hold() {
	local name=$1
	shift
	# Opened both ways a FIFO never ends.
	mkfifo "$RDDR_TMP/$name.fifo"
	# shellcheck disable=SC2016 # for the inner shell
	spawn "$name" g bash -c 'exec "$@" <>"$0"' "$RDDR_TMP/$name.fifo" "$RDDR_BUILD/tests/tools/dial" --hold "$@"
	wait_for "$name to connect" 30 grep -q '^connected ' "$RDDR_TMP/$name.log"
}

@test "the server sees the client's address, over IPv4 and IPv6" {
	expect connected - --remote "$FOUR" --forge-addr --client "$CLIENT4:5000" --say "$GET"
	[[ ${lines[0]} == *"local=$CLIENT4:"*"remote=$FOUR forged=yes rung=any"* ]]
	[[ $output == *"you are $CLIENT4 $(port)" ]]

	expect connected - --remote "$SIX" --forge-addr --client "[$CLIENT6]:5000" --say "$GET"
	[[ ${lines[0]} == *"local=[$CLIENT6]:"*"remote=$SIX forged=yes rung=any"* ]]
	[[ $output == *"you are $CLIENT6 $(port)" ]]

	access_log 0 | grep "^$CLIENT4:"
	access_log 0 | grep "^$CLIENT6:"
}

@test "unforged, the server sees the gateway, or the local address that the config names" {
	expect connected - --remote "$FOUR" --say "$GET"
	[[ $output == *"you are 10.0.2.1 "* ]]
	expect connected - --remote "$SIX" --say "$GET"
	[[ $output == *"you are fd00:0:0:2::1 "* ]]

	in_ns g ip addr add 10.0.2.77/24 dev eth-s0
	in_ns g ip addr add fd00:0:0:2::77/64 dev eth-s0 nodad
	expect connected - --remote "$FOUR" --local 10.0.2.77 --say "$GET"
	[[ $output == *"you are 10.0.2.77 "* ]]
	expect connected - --remote "$SIX" --local '[fd00:0:0:2::77]:7777' --say "$GET"
	[[ $output == *"you are fd00:0:0:2::77 7777" ]]
}

@test "transparent dials what the client addressed, with forced-port another port of it" {
	expect connected - --chainer transparent --destination "$FOUR" --forge-addr --client "$CLIENT4:5000" --say "$GET"
	[[ $output == *"you are $CLIENT4 "* ]]
	expect connected - --chainer transparent --destination "$(server4 0):8080" --forced-port 80
	expect connected - --chainer transparent --destination "[$(server6 0)]:8080" --forced-port 80
	expect refused ECONNREFUSED --chainer transparent --destination "$(server4 0):8080"
}

@test "refused: nobody listens" {
	expect refused ECONNREFUSED --remote "$(server4 0):81"
	expect refused ECONNREFUSED --remote "[$(server6 0)]:81"
	expect refused ECONNREFUSED --remote "$(server4 0):81" --forge-addr --client "$CLIENT4:5000" --forge-port exact,any
	[[ $output == *"rung=exact"* ]]
	expect refused ECONNREFUSED --remote "[$(server6 0)]:81" --forge-addr --client "[$CLIENT6]:5000"
}

@test "timed out: packets are dropped; a dial that is cancelled leaves nothing behind" {
	in_ns s0 nft -f - <<-END
		table inet t {
			chain input { type filter hook input priority 0; tcp dport 81 drop; }
		}
	END
	in_ns g sysctl -qw net.ipv4.tcp_syn_retries=1
	expect timed-out ETIMEDOUT --remote "$(server4 0):81"
	expect timed-out ETIMEDOUT --remote "[$(server6 0)]:81" --forge-addr --client "[$CLIENT6]:5000"

	in_ns g sysctl -qw net.ipv4.tcp_syn_retries=6
	expect timed-out ETIMEDOUT --remote "$(server4 0):81" --deadline 100
	[[ -z $(in_ns g ss -Htan state syn-sent) ]]
}

@test "unreachable: no route, a route that refuses, a host that is not there, an ICMP error" {
	expect unreachable ENETUNREACH --remote 192.0.2.1:80
	expect unreachable ENETUNREACH --remote '[2001:db8::1]:80'
	in_ns g ip route add unreachable 192.0.2.2
	in_ns g ip route add prohibit 192.0.2.3
	expect unreachable EHOSTUNREACH --remote 192.0.2.2:80
	expect unreachable EACCES --remote 192.0.2.3:80
	expect unreachable EHOSTUNREACH --remote 10.0.2.99:80
	expect unreachable EHOSTUNREACH --remote '[fd00:0:0:2::99]:80'

	in_ns s0 nft -f - <<-END
		table inet t {
			chain input {
				type filter hook input priority 0
				tcp dport 81 reject with icmpx type host-unreachable
				tcp dport 82 reject with icmpx type admin-prohibited
			}
		}
	END
	expect unreachable EHOSTUNREACH --remote "$(server4 0):81"
	expect unreachable EHOSTUNREACH --remote "$(server4 0):81" --forge-addr --client "$CLIENT4:5000"
	expect unreachable EHOSTUNREACH --remote "[$(server6 0)]:81"
	expect unreachable EHOSTUNREACH --remote "$(server4 0):82"
	expect unreachable EACCES --remote "[$(server6 0)]:82" --forge-addr --client "[$CLIENT6]:5000"
}

@test "no free port: the range is used up, for this server and this source alone" {
	local args
	in_ns g ip addr add 10.0.2.77/24 dev eth-s0
	in_ns g sysctl -qw net.ipv4.ip_local_port_range='40000 40003'
	for args in "--remote $FOUR --forge-addr --client $CLIENT4:5000" "--remote $SIX --forge-addr --client [$CLIENT6]:5000" \
		"--remote $FOUR" "--remote $FOUR --local 10.0.2.77"; do
		# shellcheck disable=SC2086 # several words
		run -1 dial $args --count 6 --hold --summary
		echo "$args: $output"
		[[ $output == $'4 connected\n2 no-port' ]]
		# What it held went into TIME_WAIT, or is still on the way there.
		# shellcheck disable=SC2086
		expect no-port EADDRNOTAVAIL $args
	done
	expect connected - --remote "$FOUR" --forge-addr --client 10.0.1.3:5000
	expect no-port EADDRNOTAVAIL --remote "$FOUR" --forge-addr --client "$CLIENT4:5000"
	expect connected - --remote "$FOUR" --forge-addr --client "$CLIENT4:5000" --forge-port any,group
	[[ $output == *"local=$CLIENT4:5000 "*"rung=group"* ]]
}

@test "not permitted: without the right to forge there is an error, and no connection from another address" {
	local bare=(setpriv "--bounding-set=-net_admin,-net_raw" "--inh-caps=-net_admin,-net_raw")
	bare_dial() { in_ns g "${bare[@]}" timeout 60 "$RDDR_BUILD/tests/tools/dial" "$@" </dev/null; }

	run -1 bare_dial --remote "$FOUR" --forge-addr --client "$CLIENT4:5000" --say "$GET"
	[[ $output == "not-permitted "*"error=EPERM" ]]
	run -1 bare_dial --remote "$SIX" --forge-addr --client "[$CLIENT6]:5000" --say "$GET"
	[[ $output == "not-permitted "*"error=EPERM" ]]
	[[ -z $(access_log 0) ]]

	run -0 bare_dial --remote "$FOUR" --forge-addr --forge-fallback --client "$CLIENT4:5000" --say "$GET"
	[[ ${lines[0]} == "connected "*"forged=no"* ]]
	[[ $output == *"you are 10.0.2.1 "* ]]
	run -0 bare_dial --remote "$FOUR" --say "$GET"
}

@test "the daemon's own listeners are not dialled" {
	expect loop ELOOP --remote 10.0.2.1:80 --own 10.0.2.1:80
	expect loop ELOOP --remote 10.0.1.1:80 --own 0.0.0.0:80
	expect loop ELOOP --remote 127.0.0.1:80 --own 0.0.0.0:80
	expect loop ELOOP --remote '[fd00:0:0:1::1]:80' --own '[::]:80'
	expect loop ELOOP --chainer transparent --destination 10.0.1.1:80 --own 0.0.0.0:80 --forge-addr --client "$CLIENT4:5000"
	expect loop ELOOP --chainer transparent --destination 10.0.1.1:81 --forced-port 80 --own 0.0.0.0:80

	expect refused ECONNREFUSED --remote 10.0.1.1:80 --own 10.0.2.1:80
	expect connected - --remote "$FOUR" --own 0.0.0.0:80 --own 10.0.2.1:80
	expect connected - --remote "$SIX" --own '[::]:80'
	# Where anything can be bound, what can be bound is not what is ours.
	in_ns g sysctl -qw net.ipv4.ip_nonlocal_bind=1 net.ipv6.ip_nonlocal_bind=1
	expect connected - --remote "$FOUR" --own 0.0.0.0:80
	expect connected - --remote "$SIX" --own '[::]:80'
}

@test "client and server of different families: nothing to forge" {
	expect failed EAFNOSUPPORT --remote "$SIX" --forge-addr --client "$CLIENT4:5000"
	expect failed EAFNOSUPPORT --remote "$FOUR" --forge-addr --client "[$CLIENT6]:5000"
}

ladder_against() { # what holds the client's own port: "$1"; server and client follow
	local remote=$2 client=$3
	expect no-port "$1" --remote "$remote" --forge-addr --client "$client:5000" --forge-port exact
	expect connected - --remote "$remote" --forge-addr --client "$client:5000" --forge-port exact,group,any --say "$GET"
	[[ $output == *"local=$client:5001 "*"rung=group"*" 5001" ]]
	expect connected - --remote "$remote" --forge-addr --client "$client:5000" --forge-port exact,any --say "$GET"
	[[ $output == *"local=$client:"*"rung=any"* ]]
	[[ $(port) != 5000 ]]
	expect connected - --remote "$remote" --forge-addr --client "$client:5000" --say "$GET"
	[[ $output == *"rung=any"* ]]
}

@test "the ladder: a port in use by a connection to the same server" {
	hold four --remote "$FOUR" --forge-addr --client "$CLIENT4:5000" --forge-port exact
	ladder_against EADDRNOTAVAIL "$FOUR" "$CLIENT4"
	hold six --remote "$SIX" --forge-addr --client "[$CLIENT6]:5000" --forge-port exact
	ladder_against EADDRNOTAVAIL "$SIX" "[$CLIENT6]"
}

@test "the ladder: a port that another program keeps to itself" {
	in_ns g sysctl -qw net.ipv4.ip_nonlocal_bind=1
	spawn other g socat -u "TCP-LISTEN:5000,bind=$CLIENT4" /dev/null
	wait_tcp g "$CLIENT4" 5000
	ladder_against EADDRINUSE "$FOUR" "$CLIENT4"
}

time_wait() { in_ns g ss -Htan state time-wait | grep -qF "$1"; }

@test "the ladder: a port in TIME_WAIT" {
	# With timestamps the kernel lets the same port be used again at once.
	expect connected - --remote "$FOUR" --forge-addr --client "$CLIENT4:4999" --forge-port exact
	wait_for "TIME_WAIT" 30 time_wait "$CLIENT4:4999 "
	expect connected - --remote "$FOUR" --forge-addr --client "$CLIENT4:4999" --forge-port exact

	in_ns g sysctl -qw net.ipv4.tcp_timestamps=0
	expect connected - --remote "$FOUR" --forge-addr --client "$CLIENT4:5000" --forge-port exact,group,any
	[[ $output == *"local=$CLIENT4:5000 "*"rung=exact"* ]]
	wait_for "TIME_WAIT" 30 time_wait "$CLIENT4:5000 "
	ladder_against EADDRNOTAVAIL "$FOUR" "$CLIENT4"
	expect connected - --remote "$SIX" --forge-addr --client "[$CLIENT6]:5000" --forge-port exact
	wait_for "TIME_WAIT" 30 time_wait "[$CLIENT6]:5000 "
	ladder_against EADDRNOTAVAIL "$SIX" "[$CLIENT6]"
}

@test "5,000 forged connections in a row from several clients, and not one port error" {
	local each=$((1250 / RDDR_LOAD_SCALE)) i clients4=() clients6=()
	for i in 2 3 4 5; do
		clients4+=(--client "10.0.1.$i:5000")
		clients6+=(--client "[fd00:0:0:1::$i]:5000")
	done
	run -0 dial --remote "$FOUR" --forge-addr "${clients4[@]}" --count $((4 * each)) --summary --say "$GET"
	[[ $output == "$((4 * each)) connected" ]]
	run -0 dial --remote "$SIX" --forge-addr "${clients6[@]}" --count $((4 * each)) --summary --say "$GET"
	[[ $output == "$((4 * each)) connected" ]]
	for i in 2 3 4 5; do
		[[ $(access_log 0 | grep -c "^10.0.1.$i:") == "$each" ]]
		[[ $(access_log 0 | grep -c "^fd00:0:0:1::$i:") == "$each" ]]
	done

	# Closed from this side they fill TIME_WAIT, the clients' own ports first.
	run -0 dial --remote "$FOUR" --forge-addr --forge-port exact,group,any "${clients4[@]}" --count $((4 * each)) --summary
	[[ $output == "$((4 * each)) connected" ]]
}

@test "dials that fail leave no socket behind" {
	run -1 dial --remote "$(server4 0):81" --forge-addr --forge-port exact,group,any --client "$CLIENT4:5000" --count 200 --summary
	[[ $output == "200 refused" ]]
	[[ -z $(in_ns g ss -Htan) ]]
}
