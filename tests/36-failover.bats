#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Several hosts behind one instance: which one is dialled, what makes the daemon go on to the next, and what does not.

bats_require_minimum_version 1.5.0
load lib

setup() { topology_up; }
teardown() { topology_down; }

# with_hosts LINES HOSTS...: a service that listens on the gateway and has one instance.
with_hosts() {
	local lines=$1
	shift
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		workers: 2
		evidence: { file: "" }
		services:
		  shop:
		    listen: "$GATEWAY4:8080"
		    instances:
		      - { name: one, chainer: failover, hosts: [$(printf '"%s",' "$@")], $lines }
		    deadlines: { connect: 20s, skew: 20s, idle: 60s }
		  shop6:
		    listen: "[$GATEWAY6]:8080"
		    instances:
		      - { name: one, chainer: failover, hosts: [$(printf '"%s",' "$@")], $lines }
		    deadlines: { connect: 20s, skew: 20s, idle: 60s }
	END
	start_rddrd "$RDDR_TMP/rddr.yaml"
}

get() { in_ns c curl -sS --max-time 30 "http://${1:-$GATEWAY4}:8080/"; }
hosts() { ctl --json hosts "${1:-shop}" | jq -r ".instances[0].hosts[] | $2"; }
current() { hosts shop 'select(.current).address'; }
down() { hosts shop 'select(.state == "down").address'; }

servers() {
	local i
	for i in 0 1 2; do
		start_nginx "$i" --page "server $i"
	done
}

@test "sessions stay with the current host; the operator moves on; rotate spreads them" {
	servers
	with_hosts "rotate: false" 10.0.2.2:80 10.0.3.2:80 "[fd00:0:0:4::2]:80"
	for _ in 1 2 3; do
		[[ $(get) == "server 0" && $(get "[$GATEWAY6]") == "server 0" ]]
	done
	[[ $(current) == 10.0.2.2:80 && -z $(down) ]]
	run -0 ctl next shop/one
	[[ $output == *"shop "*"one "*"* "*"10.0.3.2:80"* ]]
	[[ $(get) == "server 1" && $(get "[$GATEWAY6]") == "server 0" ]]
	run -0 ctl next shop
	[[ $(get) == "server 2" ]]
	# What the operator chose outlives a reload.
	ctl reload
	[[ $(get) == "server 2" && $(current) == "[fd00:0:0:4::2]:80" ]]
	ctl next shop
	[[ $(get) == "server 0" ]]

	run -1 ctl next nobody
	[[ $output == *"no instance with several hosts is called nobody"* ]]
	run -2 ctl next
	run -1 ctl hosts shop/two

	sed -i 's/rotate: false/rotate: true/' "$RDDR_TMP/rddr.yaml"
	ctl reload
	# shellcheck disable=SC2016 # for the inner shell
	run -0 bash -c 'for i in 1 2 3 4 5 6; do nsenter --net="/run/netns/${RDDR_T}c" -- curl -sS --max-time 30 http://10.0.1.1:8080/; done'
	[[ $(sort <<<"$output" | uniq -c | awk '{ print $1 }' | xargs) == "2 2 2" ]]
}

@test "refused: the next host, which becomes the current one; the other port of the same host is another server" {
	start_nginx 1 --page "server 1"
	start_nginx 0 --page "other port" --port 81
	with_hosts "" 10.0.2.2:80 10.0.2.2:81 10.0.3.2:80
	[[ $(get) == "other port" ]]
	[[ $(down) == 10.0.2.2:80 && $(current) == 10.0.2.2:81 ]]
	[[ $(counter shop hosts_failed) == 1 && $(counter shop dial_refused) == 0 ]]
	# Both services know, though one alone has tried.
	[[ $(hosts shop6 'select(.state == "down").address') == 10.0.2.2:80 ]]
	[[ $(get "[$GATEWAY6]") == "other port" ]]
	[[ $(counter shop6 hosts_failed) == 0 && $(counter shop6 hosts_skipped) == 1 ]]
	grep -q 'failover: host down host=10.0.2.2:80 outcome=refused' "$RDDR_TMP/rddrd.log"

	# It goes on when that one fails in its turn, and comes back to the first when its time is over.
	stop_nginx 0
	[[ $(get) == "server 1" ]]
	[[ $(current) == 10.0.3.2:80 ]]
}

@test "black-holed, over IPv4 and IPv6: the next host after host-timeout, the others at once" {
	start_nginx 0 --page "never"
	start_nginx 1 --page "server 1"
	in_ns s0 nft -f - <<-END
		table inet t {
			chain input { type filter hook input priority 0; tcp dport 80 drop; }
		}
	END
	with_hosts "host-timeout: 300ms, down-for: 1h" 10.0.2.2:80 "[fd00:0:0:2::2]:80" 10.0.3.2:80
	[[ $(get) == "server 1" ]]
	[[ $(down | xargs) == "10.0.2.2:80 [fd00:0:0:2::2]:80" ]]
	[[ $(counter shop hosts_failed) == 2 ]]
	for _ in 1 2 3; do
		[[ $(get) == "server 1" ]]
	done
	[[ $(counter shop hosts_failed) == 2 && $(counter shop hosts_skipped) == 0 ]]
	[[ -z $(in_ns g ss -Htan state syn-sent) ]]
}

@test "a mark expires; with every host down there is one more lap" {
	start_nginx 1 --page "server 1"
	with_hosts "down-for: 1s" 10.0.2.2:80 10.0.3.2:80
	[[ $(get) == "server 1" ]]
	[[ $(down) == 10.0.2.2:80 ]]
	up() { [[ -z $(down) ]]; }
	wait_for "the mark to expire" 20 up
	start_nginx 0 --page "server 0"
	ctl next shop
	[[ $(get) == "server 0" ]]

	stop_nginx 0
	stop_nginx 1
	run get
	[[ $status != 0 ]]
	[[ $(counter shop dial_refused) == 1 && $(counter shop hosts_cleared) == 1 ]]
	[[ $(counter shop denied_missing) == 1 ]]
	# All are marked; a server that is back is found at once all the same.
	sed -i 's/down-for: 1s/down-for: 1h/' "$RDDR_TMP/rddr.yaml"
	ctl reload
	run get
	[[ $(down | xargs) == "10.0.2.2:80 10.0.3.2:80" ]]
	start_nginx 0 --page "server 0"
	[[ $(get) == "server 0" ]]
}

@test "attempts are bounded" {
	start_nginx 2 --page "server 2"
	with_hosts "attempts: 2" 10.0.2.2:80 10.0.3.2:80 10.0.4.2:80
	run get
	[[ $status != 0 ]]
	[[ $(counter shop hosts_failed) == 2 && $(counter shop dial_refused) == 1 ]]
	# The next session begins where it can.
	[[ $(get) == "server 2" ]]
}

@test "an error of this host's own marks nobody" {
	servers
	in_ns g ip addr add 10.0.2.77/24 dev eth-s0
	in_ns g sysctl -qw net.ipv4.ip_local_port_range='40000 40000'
	with_hosts 'local: "10.0.2.77"' 10.0.2.2:80 10.0.3.2:80
	# shellcheck disable=SC2016 # for the inner shell
	spawn holder c bash -c 'exec 3<>"/dev/tcp/$0/8080"; exec sleep 600' "$GATEWAY4"
	one() { [[ $(ctl --json status | jq .sessions) == 1 ]]; }
	wait_for "the first session" 20 one
	# The one port is taken towards the first server; towards the second it is free.
	[[ $(get) == "server 1" ]]
	stop holder
	[[ -z $(down) && $(counter shop hosts_failed) == 0 ]]
	# Taken by a program that listens there, it is taken towards all.
	none() { [[ $(ctl --json status | jq .sessions) == 0 ]]; }
	wait_for "no session" 20 none
	in_ns g sysctl -qw net.ipv4.ip_local_port_range='32768 60999'
	stop rddrd
	spawn blocker g socat TCP-LISTEN:40001,bind=10.0.2.77 /dev/null
	wait_tcp g 10.0.2.77 40001
	with_hosts 'local: "10.0.2.77:40001"' 10.0.2.2:80 10.0.3.2:80
	run get
	[[ $status != 0 ]]
	[[ -z $(down) && $(counter shop dial_no_port) == 1 && $(counter shop hosts_failed) == 0 ]]
}

@test "a route that leads nowhere is this host's own, and marks nobody" {
	start_nginx 1 --page "server 1"
	in_ns g ip route add unreachable 10.9.9.1
	in_ns g ip route add prohibit 10.9.9.2
	with_hosts "" 10.9.9.1:80 10.9.9.2:80 10.0.3.2:80
	[[ $(get) == "server 1" ]]
	[[ -z $(down) && $(counter shop hosts_failed) == 0 ]]
}

@test "a host that had only the rest of the session's time is not marked" {
	start_nginx 0 --page "server 0"
	start_nginx 1 --page "server 1"
	in_ns s0 nft -f - <<-END
		table ip filter { chain input { type filter hook input priority 0; tcp dport 80 drop; }; }
	END
	in_ns s1 nft -f - <<-END
		table ip filter { chain input { type filter hook input priority 0; tcp dport 80 drop; }; }
	END
	# The first has its whole time; for the second there is not as much left.
	with_hosts "host-timeout: 2s" 10.0.2.2:80 10.0.3.2:80
	sed -i 's/deadlines: {[^}]*}/deadlines: { connect: 3s }/' "$RDDR_TMP/rddr.yaml"
	grep -q "connect: 3s" "$RDDR_TMP/rddr.yaml"
	ctl reload
	run get
	[[ $status != 0 ]]
	[[ $(down) == 10.0.2.2:80 && $(counter shop hosts_failed) == 1 ]]
}

@test "under concurrent sessions a dead first host costs each at most one attempt, and later ones none" {
	local n=$((200 / RDDR_LOAD_SCALE))
	start_nginx 1 --page "server 1"
	with_hosts "" 10.0.2.2:80 10.0.3.2:80
	run -0 in_ns c bash -c "seq $n | xargs -P 20 -I{} curl -sS --max-time 30 http://$GATEWAY4:8080/"
	[[ $(grep -c '^server 1$' <<<"$output") == "$n" ]]
	(($(counter shop hosts_failed) >= 1 && $(counter shop hosts_failed) <= 20))
	[[ $(grep -c 'failover: host down' "$RDDR_TMP/rddrd.log") == 1 ]]
}

@test "active checks: by connecting and by status, from the gateway's own address; a host that comes back is used again" {
	# shellcheck disable=SC2016 # nginx's variables
	start_nginx 0 --page "server 0" --conf 'location = /health { if (-f $document_root/sick) { return 503; } return 200 "fine\n"; }'
	start_nginx 1 --page "server 1"
	with_hosts "check: { interval: 200ms, timeout: 5s, fails: 1, http: /health, status: 200 }" 10.0.2.2:80 10.0.3.2:80
	# shellcheck disable=SC2317 # wait_for calls it
	failing() { [[ $(hosts shop 'select(.check_fails).address' | xargs) == "$1" ]]; }
	# The second has no such page.
	wait_for "the check of server 1 to fail" 30 failing 10.0.3.2:80
	[[ $(get) == "server 0" ]]
	access_log 0 | grep -q '^10.0.2.1:.*"GET /health HTTP/1.0" 200'
	touch "$RDDR_TMP/s0/www/sick"
	wait_for "both to fail" 30 failing "10.0.2.2:80 10.0.3.2:80"
	# With nothing better left, they are dialled all the same.
	[[ $(get) == "server "* ]]
	rm "$RDDR_TMP/s0/www/sick"
	wait_for "server 0 to be back" 30 failing 10.0.3.2:80
	[[ $(get) == "server 0" ]]
	grep -q 'checker: host down host=10.0.2.2:80 why="status 503"' "$RDDR_TMP/rddrd.log"
	grep -q 'checker: host up host=10.0.2.2:80 why="status 200"' "$RDDR_TMP/rddrd.log"

	sed -i 's/, http: .health, status: 200//' "$RDDR_TMP/rddr.yaml"
	ctl reload
	wait_for "nobody to fail" 30 failing ""
	stop_nginx 0
	wait_for "server 0 to fail" 30 failing 10.0.2.2:80
	# No session has found that out.
	[[ $(get) == "server 1" && $(counter shop hosts_failed) == 0 ]]

	# A reload knows what was found, though it would take five hours to find it again; without checks nothing is known.
	sed -i 's/interval: 200ms/interval: 1h/; s/fails: 1/fails: 5/' "$RDDR_TMP/rddr.yaml"
	ctl reload
	failing 10.0.2.2:80
	sed -i 's/check: {[^}]*}//' "$RDDR_TMP/rddr.yaml"
	ctl reload
	failing ""
}

@test "50,000 forged connections of eight clients through three servers, and not one port error" {
	local n=$((50000 / RDDR_LOAD_SCALE)) i clients=()
	servers
	for i in 0 1 2; do
		in_ns g ip rule add pref "10$i" iif "eth-s$i" to 10.0.1.0/24 lookup 133
	done
	in_ns g ip route add local default dev lo table 133
	for i in 2 3 4 5 6 7 8 9; do
		clients+=(--client "10.0.1.$i:5000")
	done
	run -0 in_ns g timeout 600 "$RDDR_BUILD/tests/tools/dial" --chainer failover --host 10.0.2.2:80 --host 10.0.3.2:80 --host 10.0.4.2:80 --rotate \
		--forge-addr "${clients[@]}" --count "$n" --summary --say $'GET / HTTP/1.0\r\n\r\n'
	[[ $output == "$n connected" ]]
	for i in 0 1 2; do
		[[ $(access_log "$i" | wc -l) == $((n / 3 + (i < n % 3))) ]]
	done
}
