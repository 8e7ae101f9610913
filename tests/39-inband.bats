#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# A proxy for ordinary clients: the server is the one that the request names, its name asked of a real DNS server, its addresses checked.

bats_require_minimum_version 1.5.0
load lib

# The DNS server stands on server host 2, and web servers on all.
setup() {
	topology_up
	for i in 0 1 2; do
		start_nginx "$i" --page "server $i"
	done
	spawn dns s2 dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --local=/test/ --bind-interfaces \
		--listen-address=10.0.4.2 --user=root --pid-file="$RDDR_TMP/dns.pid" --log-queries --log-facility="$RDDR_TMP/queries.log" \
		--host-record=a.test,10.0.2.2 --host-record=b.test,10.0.3.2 --host-record=six.test,fd00:0:0:2::2 \
		--host-record=self.test,10.0.1.1 --host-record=lo.test,127.0.0.1 --host-record=lo6.test,::1 --host-record=bank.test,10.0.4.2 \
		--host-record=some.test,10.0.2.99 --host-record=some.test,10.0.3.2 --host-record=empty.test,0.0.0.0
	# shellcheck disable=SC2317 # wait_for calls it
	resolves() { in_ns s2 ss -Hlun 'sport = :53' | grep -q 10.0.4.2; }
	wait_for "the DNS server" 20 resolves
}
teardown() { topology_down; }

# gateway: the proxy at port 3128, two instances on it.
gateway() {
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		workers: 2
		evidence: { file: "" }
		resolver: { servers: 10.0.4.2, timeout: 2s }
		zones:
		  bank: 10.0.4.0/24
		services:
		  proxy:
		    listen: "0.0.0.0:3128"
		    diff-class: http
		    access:
		      - { name: no-bank, servers: bank, action: deny }
		      - { name: others, action: allow }
		    instances:
		      - { name: one, chainer: inband }
		      - { name: two, chainer: inband }
		    deadlines: { connect: 20s, skew: 20s, idle: 60s }
	END
	start_rddrd "$RDDR_TMP/rddr.yaml"
}

get() { in_ns c curl -sS --noproxy '' --max-time 40 -x "http://$GATEWAY4:3128" "$@"; }
status_of() { get -o "$RDDR_TMP/body" -w '%{http_code}' "$@"; }
asked() { grep -c "query\[A\] $1 " "$RDDR_TMP/queries.log"; }

@test "curl and its proxy: several servers, by name and by address, over one connection and over several" {
	gateway
	[[ $(get http://a.test/) == "server 0" ]]
	[[ $(get http://b.test/) == "server 1" ]]
	[[ $(get http://10.0.2.2/) == "server 0" ]]
	[[ $(get http://six.test/) == "server 0" ]]
	[[ $(get "http://[fd00:0:0:3::2]:80/") == "server 1" ]]
	# The same connection, one server after the other, and back.
	run -0 get -v http://a.test/ http://a.test/index.html http://b.test/ http://a.test/
	[[ $(grep '^server' <<<"$output" | xargs) == "server 0 server 0 server 1 server 0" ]]
	[[ $(grep -c 'Re-using existing connection' <<<"$output") == 3 ]]
	# A name is asked for once for both instances, and not again for the same server.
	[[ $(asked a.test) == 3 ]]
	[[ $(counter proxy divergences) == 0 ]]
	# What the servers get is in origin form, and not what was for the proxy.
	access_log 0 | grep -q '"GET /index.html HTTP/1.1" 200'
	[[ $(access_log 0) != *http://* ]]
}

@test "a body goes along; HEAD, an empty path" {
	gateway
	[[ $(status_of -I http://a.test/) == 200 ]]
	[[ $(status_of --data "name=value" http://a.test/) == 405 ]]
	[[ $(status_of "http://a.test?x=1") == 200 ]]
	access_log 0 | grep -q '"GET /?x=1 HTTP/1.1" 200'
}

@test "CONNECT: a tunnel, in which HTTP is compared as such" {
	gateway
	[[ $(get --proxytunnel http://a.test/) == "server 0" ]]
	run -0 get --proxytunnel -v http://b.test/ http://b.test/
	[[ $(grep -c '^server 1' <<<"$output") == 2 && $output == *"200 Connection established"* ]]
	access_log 1 | grep -q '"GET / HTTP/1.1" 200'
	# What differs in it is stopped.
	spawn three s2 socat TCP-LISTEN:7000,fork,reuseaddr SYSTEM:'echo $$'
	wait_tcp s2 10.0.4.2 7000
	sed -i 's/no-bank, servers: bank, action: deny/bank, action: allow/' "$RDDR_TMP/rddr.yaml"
	ctl reload
	# shellcheck disable=SC2016 # for the inner shell
	run in_ns c timeout 60 bash -c 'exec 3<>"/dev/tcp/$0/3128"; printf "CONNECT bank.test:7000 HTTP/1.1\r\nHost: bank.test:7000\r\n\r\n" >&3; cat <&3' "$GATEWAY4"
	[[ ${lines[0]} == "HTTP/1.1 200"* && ! $output =~ [[:space:]][0-9]+$ ]]
	[[ $(counter proxy denied_divergence) == 1 ]]
}

@test "CONNECT carries what is not HTTP, for one instance" {
	gateway
	sed -i '/name: two/d' "$RDDR_TMP/rddr.yaml"
	ctl reload
	spawn echo s0 socat TCP-LISTEN:7000,fork,reuseaddr SYSTEM:'echo hello\; cat'
	wait_tcp s0 10.0.2.2 7000
	# shellcheck disable=SC2016 # for the inner shell
	run -0 in_ns c timeout 60 bash -c 'exec 3<>"/dev/tcp/$0/3128"; printf "CONNECT a.test:7000 HTTP/1.1\r\nHost: a.test:7000\r\n\r\n" >&3
		read -r -u 3 line; read -r -u 3 empty; read -r -u 3 greeting; echo "$greeting"; echo "GET this back" >&3; read -r -u 3 back; echo "$back"' "$GATEWAY4"
	[[ $output == $'hello\nGET this back' ]]
}

@test "the gateway itself is no target, whatever it is called" {
	gateway
	local name
	for name in self.test:3128 self.test:80 lo.test lo6.test empty.test 10.0.2.1:3128 127.0.0.1:3128 '[::1]:3128' '[::ffff:127.0.0.1]:3128' '[fd00:0:0:1::1]:80'; do
		[[ $(status_of "http://$name/") == 502 ]]
		[[ $(cat "$RDDR_TMP/body") == *"Not reachable"*"Reference:"* ]]
	done
	run get --proxytunnel http://self.test/
	[[ $status == 56 || $status == 7 ]]
	[[ $(counter proxy dial_loop) -ge 11 ]]
	[[ $(counter proxy sessions) == 11 ]]
}

@test "what another service guards is not reached past it" {
	gateway
	cat >>"$RDDR_TMP/rddr.yaml" <<-END
		  guarded:
		    intercept: { address: 10.0.3.2, port: 80, interface: eth-c }
		    diff-class: http
		    instances: [{ name: live, chainer: transparent }]
	END
	ctl reload
	[[ $(get http://a.test/) == "server 0" ]]
	for name in b.test 10.0.3.2; do
		[[ $(status_of "http://$name/") == 502 ]]
		[[ $(cat "$RDDR_TMP/body") == *"Not reachable"* ]]
	done
	[[ $(counter proxy dial_loop) -ge 2 && -z $(access_log 1) ]]
	# Another port of it is nobody's.
	[[ $(status_of http://b.test:81/) == 502 ]]
	[[ $(counter proxy dial_refused) -ge 1 ]]
}

@test "names: unknown, denied, refused; the next address of several" {
	gateway
	[[ $(status_of http://nobody.test/) == 502 ]]
	[[ $(cat "$RDDR_TMP/body") == *"Not reachable"* ]]
	[[ $(counter proxy dial_unresolved) == 1 ]]
	wait_for "the reason" 20 grep -q 'the name of the target is not resolved: Domain name not found' "$RDDR_TMP/rddrd.log"
	[[ $(status_of -H 'Accept: application/json' http://nobody.test/) == 502 ]]
	[[ $(jq -r .error "$RDDR_TMP/body") == "Not reachable" ]]

	[[ $(status_of http://bank.test/) == 502 ]]
	[[ $(counter proxy dial_denied) -ge 1 ]]
	wait_for "the line" 20 grep -q 'access: deny service=proxy rule=no-bank .*server=10.0.4.2:80' "$RDDR_TMP/rddrd.log"
	[[ -z $(access_log 2) ]]
	[[ $(status_of http://a.test:81/) == 502 ]]
	[[ $(counter proxy dial_refused) -ge 1 ]]
	[[ $(get http://some.test/) == "server 1" ]]

	# On a connection that was used before, too.
	run get -o "$RDDR_TMP/body" -w '%{http_code}\n' http://a.test/ --next -o "$RDDR_TMP/body" -w '%{http_code}\n' --noproxy '' -x "http://$GATEWAY4:3128" http://nobody.test/
	[[ $output == *502* ]]
}

@test "what is no request to a proxy is refused" {
	gateway
	[[ $(in_ns c curl -sS --max-time 40 -o /dev/null -w '%{http_code}' "http://$GATEWAY4:3128/") == 400 ]]
	[[ $(status_of "http://a.test:99999/" || true) != 200 ]]
	# shellcheck disable=SC2016 # for the inner shell
	raw() { in_ns c timeout 60 bash -c 'exec 3<>"/dev/tcp/$0/3128"; printf "$1" >&3; head -1 <&3' "$GATEWAY4" "$1"; }
	[[ $(raw 'CONNECT a.test HTTP/1.1\r\nHost: a.test\r\n\r\n') == "HTTP/1.1 400"* ]]
	[[ $(raw 'GET https://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n') == "HTTP/1.1 400"* ]]
	[[ $(raw 'GET http://a.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n') == "HTTP/1.1 400"* ]]
	[[ $(raw 'GET http://a%%20b/ HTTP/1.1\r\nHost: a%%20b\r\n\r\n') == "HTTP/1.1 400"* ]]
	[[ $(counter proxy dials) == 0 ]]
}

@test "the DNS server is dead: the session ends in time, and the daemon ends while a name is being asked for" {
	gateway
	stop dns
	in_ns s2 nft -f - <<-END
		table inet t {
			chain input { type filter hook input priority 0; udp dport 53 drop; tcp dport 53 drop; }
		}
	END
	sed -i 's/connect: 20s/connect: 500ms/; s/workers: 2/workers: 2\ndrain: 0s/' "$RDDR_TMP/rddr.yaml"
	ctl reload
	[[ $(status_of http://a.test/) == 502 ]]
	[[ $(counter proxy dial_timed_out) -ge 1 ]]
	sed -i 's/connect: 500ms/connect: 60s/' "$RDDR_TMP/rddr.yaml"
	ctl reload
	spawn waiting c curl -sS --noproxy '' -x "http://$GATEWAY4:3128" http://a.test/
	dialling() { [[ $(ctl --json sessions | jq -r '.sessions[0].state') == dialling ]]; }
	wait_for "the question" 20 dialling
	stop rddrd
}
