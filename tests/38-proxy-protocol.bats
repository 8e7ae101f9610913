#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Behind a balancer (a real HAProxy): the PROXY header says who the client is, and that is whom the servers see. And the other way round: what
# servers are sent. A rule brings what servers answer to the clients' network back to the gateway's own sockets.

bats_require_minimum_version 1.5.0
load lib

# The balancer stands on server host 2; the servers are 0 and 1.
setup() {
	topology_up
	for i in 0 1; do
		in_ns g ip rule add pref "10$i" iif "eth-s$i" to 10.0.1.0/24 lookup 133
		in_ns g ip -6 rule add pref "10$i" iif "eth-s$i" to fd00:0:0:1::/64 lookup 133
	done
	in_ns g ip route add local default dev lo table 133
	in_ns g ip -6 route add local default dev lo table 133
}
teardown() { topology_down; }

# shellcheck disable=SC2016 # nginx's variables
servers() {
	for i in 0 1; do
		start_nginx "$i" --conf 'location / { return 200 "you are $remote_addr\n"; }'
	done
}

gateway() {
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		workers: 2
		drain: 1s
		evidence: { file: "" }
		services:
		  four:
		    listen: "10.0.4.1:8080"
		    proxy-protocol: { from: [10.0.4.0/24] }
		    instances:
		      - { name: one, chainer: directed, remote: "10.0.2.2:80", $1 }
		      - { name: two, chainer: directed, remote: "10.0.3.2:80", $1 }
		    deadlines: { connect: ${2:-20s}, skew: 20s, idle: 60s }
		  six:
		    listen: "10.0.4.1:8081"
		    proxy-protocol: { from: 10.0.4.2 }
		    instances:
		      - { name: one, chainer: directed, remote: "[fd00:0:0:2::2]:80", $1 }
		      - { name: two, chainer: directed, remote: "[fd00:0:0:3::2]:80", $1 }
		    deadlines: { connect: 20s, skew: 20s, idle: 60s }
	END
	start_rddrd "$RDDR_TMP/rddr.yaml"
}

balancer() {
	cat >"$RDDR_TMP/haproxy.cfg" <<-END
		defaults
			mode tcp
			timeout connect 20s
			timeout client 60s
			timeout server 60s
		listen v1
			bind 10.0.4.2:81
			server g 10.0.4.1:8080 send-proxy
		listen v2
			bind 10.0.4.2:82
			server g 10.0.4.1:8080 send-proxy-v2 proxy-v2-options unique-id,crc32c
			unique-id-format %[uuid()]
		listen six1
			bind [fd00:0:0:4::2]:81
			server g 10.0.4.1:8081 send-proxy
		listen six2
			bind [fd00:0:0:4::2]:82
			server g 10.0.4.1:8081 send-proxy-v2
	END
	spawn haproxy s2 haproxy -db -f "$RDDR_TMP/haproxy.cfg"
	wait_tcp s2 10.0.4.2 82
	wait_tcp s2 fd00:0:0:4::2 82
}

get() { in_ns c curl -sS --max-time 30 "$@"; }

@test "the servers see the client that stands behind the balancer: versions 1 and 2, IPv4 and IPv6" {
	servers
	gateway "forge-addr: true"
	balancer
	[[ $(get http://10.0.4.2:81/) == "you are $CLIENT4" ]]
	[[ $(get http://10.0.4.2:82/) == "you are $CLIENT4" ]]
	[[ $(get "http://[fd00:0:0:4::2]:81/") == "you are $CLIENT6" ]]
	[[ $(get "http://[fd00:0:0:4::2]:82/") == "you are $CLIENT6" ]]
	[[ $(counter four proxy_accepted) == 2 && $(counter six proxy_accepted) == 2 ]]
	[[ $(counter four proxy_refused) == 0 && $(counter four divergences) == 0 ]]
	[[ $(access_log 1 | grep -c "^$CLIENT4:") == 2 ]]
}

# raw TEXT [PORT]: what the balancer's host gets for bytes of its own.
raw() {
	# shellcheck disable=SC2016 # for the inner shell
	in_ns s2 timeout 60 bash -c 'exec 3<>"/dev/tcp/10.0.4.1/$1"; printf "%b" "$0" >&3; cat <&3' "$1" "${2:-8080}"
}

@test "a header that is bad, cut or missing: no session, no byte to a server; the header of somebody else is none" {
	local bad
	servers
	gateway "forge-addr: true" 6s
	for bad in 'GET / HTTP/1.0\r\n\r\n' 'PROXY TCP4 10.0.1.2 10.0.4.2 1 99999\r\nGET / HTTP/1.0\r\n\r\n' \
		'PROXY TCP4 0.0.0.0 10.0.4.2 1 2\r\nGET / HTTP/1.0\r\n\r\n' '\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x0c12345678' \
		'PROXY TCP4 10.0.1.2 10.0.4.2 1 2\nGET / HTTP/1.0\r\n\r\n'; do
		run raw "$bad"
		[[ $output != *"you are"* ]]
	done
	[[ $(counter four proxy_refused) == 5 && $(counter four sessions) == 0 ]]
	grep -q 'greeting: refused service=four peer=10.0.4.2:[0-9]* why="no PROXY header"' "$RDDR_TMP/rddrd.log"
	in_ns s2 bash -c 'exec 3<>/dev/tcp/10.0.4.1/8080; printf "PROXY TCP4 10.0.1" >&3'
	refused() { [[ $(counter four proxy_refused) == "$1" ]]; }
	wait_for "the one that ended" 20 refused 6
	[[ -z $(access_log 0) ]]

	[[ $(raw 'PROXY TCP4 10.0.1.2 10.0.4.2 4711 2\r\nGET / HTTP/1.0\r\n\r\n') == *"you are 10.0.1.2" ]]
	[[ $(counter four proxy_accepted) == 1 ]]

	# From elsewhere the same bytes are the client's own request, and no good one.
	sed -i 's/from: \[10.0.4.0\/24\]/from: [10.0.9.0\/24]/' "$RDDR_TMP/rddr.yaml"
	ctl reload
	run raw 'PROXY TCP4 10.0.1.2 10.0.4.2 4711 2\r\nGET / HTTP/1.0\r\n\r\n'
	[[ $output != *"you are 10.0.1.2"* ]]
	[[ $(counter four proxy_accepted) == 1 ]]
}

@test "a header that comes byte by byte is taken, one that does not come in time is refused" {
	servers
	gateway "forge-addr: true"
	# shellcheck disable=SC2016 # for the inner shell
	run -0 in_ns s2 timeout 120 bash -c 'exec 3<>/dev/tcp/10.0.4.1/8080
		text=$(printf "PROXY TCP4 10.0.1.2 10.0.4.2 4711 2\r\nGET / HTTP/1.0\r\n\r\n.")
		for ((i = 0; i < ${#text} - 1; i++)); do printf "%s" "${text:i:1}" >&3; done
		cat <&3'
	[[ $output == *"you are 10.0.1.2" ]]
	stop rddrd
	gateway "forge-addr: true" 300ms
	run raw 'PROXY TCP4 10.0.1.2'
	[[ $(counter four proxy_refused) == 1 && $(counter four sessions) == 0 ]]
	grep -q 'no PROXY header within deadlines.connect' "$RDDR_TMP/rddrd.log"
	# The daemon ends while one waits.
	spawn waiter s2 bash -c 'exec 3<>/dev/tcp/10.0.4.1/8081; exec sleep 600'
	connected() { [[ -n $(in_ns g ss -Htn state established sport = :8081) ]]; }
	wait_for "the connection" 20 connected
	stop rddrd
}

# shellcheck disable=SC2016 # nginx's variables
@test "servers that want the header are sent it, version 1 and 2" {
	for i in 0 1; do
		start_nginx "$i" --http 'server { listen 81 proxy_protocol; listen [::]:81 proxy_protocol;
			location / { return 200 "$proxy_protocol_addr for $proxy_protocol_server_addr:$proxy_protocol_server_port\n"; } }'
	done
	for version in v1 v2; do
		cat >"$RDDR_TMP/rddr.yaml" <<-END
			evidence: { file: "" }
			services:
			  four:
			    listen: "$GATEWAY4:8080"
			    instances:
			      - { chainer: directed, remote: "10.0.2.2:81", send-proxy: $version }
			      - { chainer: failover, hosts: ["10.0.3.2:90", "10.0.3.2:81"], send-proxy: $version }
			  six:
			    listen: "[$GATEWAY6]:8080"
			    instances: [{ chainer: directed, remote: "10.0.2.2:81", send-proxy: $version }]
		END
		start_rddrd "$RDDR_TMP/rddr.yaml"
		[[ $(get "http://$GATEWAY4:8080/") == "$CLIENT4 for $GATEWAY4:8080" ]]
		[[ $(get "http://[$GATEWAY6]:8080/") == "$CLIENT6 for $GATEWAY6:8080" ]]
		stop rddrd
	done
}
