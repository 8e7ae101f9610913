#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# rddr-doctor is content with a healthy gateway, finds each thing that is planted, and repairs what it says it can.

bats_require_minimum_version 1.5.0
load lib
load lib-scripts

setup() {
	topology_up 2
	CONFIG="$RDDR_TMP/config.yaml"
	doctor_config "$CONFIG"
	start_nginx 0
	start_nginx 1
}
teardown() {
	script rddr-detach >/dev/null 2>&1 || true
	topology_down
}

# Two services: a transparent instance and a directed one, dialled with the client's address.
doctor_config() {
	cat >"$1" <<-END
		services:
		  four:
		    direction: incoming
		    intercept: { address: $(server4 0), port: 80 }
		    instances:
		      - { name: live, chainer: transparent, forge-addr: true }
		      - { name: twin, chainer: directed, remote: "${2:-$(server4 1):80}", forge-addr: true }
		  six:
		    direction: incoming
		    intercept: { address: "$(server6 0)", port: 80, interface: eth-c }
		    instances:
		      - { name: live, chainer: transparent, forge-addr: true }
		evidence: { file: "" }
	END
}

gateway_up() {
	attach --config "$CONFIG" >/dev/null
	start_rddrd "$CONFIG"
}

doctor() { script rddr-doctor --config "$CONFIG" "$@"; }
content() { [[ $(doctor | tail -n 1) == "no problems" ]]; }

# finds LEVEL TOPIC PATTERN: the doctor says so, with its exit status to match.
finds() {
	run doctor
	echo "$output"
	grep -qE "^$1 +$2: .*$3" <<<"$output" || {
		echo "not found: $1 $2: $3"
		return 1
	}
	[[ $1 != problem ]] || ((status == 1))
}

# each_of: lines PLANTED | LEVEL | TOPIC | PATTERN | REPAIR on stdin. What is planted runs in the gateway; REPAIR
# undoes it there, or is "fix" when --fix has to.
each_of() {
	local line planted level topic pattern repair
	content
	while IFS= read -r line; do
		[[ -n $line ]] || continue
		line=${line//$'\t'/}
		line=${line// | /|}
		IFS='|' read -r planted level topic pattern repair <<<"$line"
		echo "--- $planted"
		in_ns g bash -ec "$planted"
		finds "$level" "$topic" "$pattern"
		if [[ $repair == fix ]]; then
			doctor --fix || true
		else
			in_ns g bash -ec "$repair"
		fi
		wait_for "a content doctor after: $planted" 20 content
	done
}

@test "content with a healthy gateway, and nothing is changed by looking" {
	gateway_up
	remember
	run -0 doctor
	[[ $output == *"no problems" ]]
	[[ $output != *warning* && $output != *problem\ * ]]
	[[ $output == *"ok       servers: four/live ($(server4 0) port 80) answers"* ]]
	[[ $output == *"ok       servers: four/twin ($(server4 1) port 80) answers"* ]]
	[[ $output == *"ok       servers: six/live ($(server6 0) port 80) answers"* ]]
	run -0 script rddr-doctor
	[[ $output == *"no problems" ]]
	unchanged
}

@test "not attached: says how; --fix attaches to what the config names" {
	run -1 doctor
	[[ $output == *"not attached"* ]]
	[[ $output == *"rddr-attach --interface"*"--pin-dir"* ]]
	run -1 script rddr-doctor --fix
	[[ $output == *"which interfaces to attach to is not known"* ]]
	doctor --fix || true
	filters_of eth-c | grep 0x52444452
}

@test "pins, interfaces and filters" {
	gateway_up
	each_of <<-END
		$RDDR_STEER --pin-dir $RDDR_PIN detach | problem | pins | rules or filters of ours are here | fix
		rm $RDDR_PIN/link | problem | pins | damaged | fix
		$RDDR_STEER --pin-dir $RDDR_PIN detach; $RDDR_STEER --pin-dir $RDDR_PIN attach --config $CONFIG \
			| problem | interfaces | eth-c runs program [0-9]+, not the one | fix
		tc filter del dev eth-c ingress | problem | interfaces | eth-c has no filter | fix
		tc qdisc del dev eth-s1 clsact | problem | interfaces | eth-s1 has no filter | fix
		tc filter add dev eth-c ingress pref 5 protocol ip u32 match u32 0 0 | warning | interfaces \
			| filters of somebody else's before ours: u32 .pref 5 \
			| tc filter del dev eth-c ingress pref 5
		ip link set eth-s1 down | problem | interfaces | eth-s1 is down \
			| ip link set eth-s1 up; ip -6 addr add fd00:0:0:3::1/64 dev eth-s1 nodad
	END
}

@test "an interface that is gone" {
	gateway_up
	in_ns g ip link del eth-s1
	finds problem interfaces "eth-s1 is not there"
}

@test "an XDP program of somebody else's" {
	gateway_up
	cat >"$RDDR_TMP/xdp.c" <<-END
		__attribute__((section("xdp"), used)) int pass(void *context)
		{
			return 2;
		}
	END
	clang -O2 -target bpf -c -o "$RDDR_TMP/xdp.o" "$RDDR_TMP/xdp.c"
	bpftool prog load "$RDDR_TMP/xdp.o" "$RDDR_PIN-xdp" type xdp
	in_ns g bpftool net attach xdpgeneric pinned "$RDDR_PIN-xdp" dev eth-s1
	rm "$RDDR_PIN-xdp"
	finds warning interfaces "eth-s1 has an XDP program"
	in_ns g bpftool net detach xdpgeneric dev eth-s1
	content
}

@test "rules and routes: ours missing, and others in front of them" {
	gateway_up
	in_ns g ip route add default via 10.0.3.2 table 100
	in_ns g ip route add default via fd00:0:0:3::2 table 100
	each_of <<-END
		ip rule del pref 133 | problem | routing | IPv4: the rule .* missing | fix
		ip -6 rule del pref 133 | problem | routing | IPv6: the rule .* missing | fix
		ip route flush table 133 | problem | routing | IPv4: the route .* missing | fix
		ip -6 rule del pref 133; ip -6 route flush table 133 | problem | routing \
			| IPv6: the rule .* and the route .* missing | fix
		ip rule add pref 10 lookup 100 | problem | routing \
			| not bring a packet from .* to four .* eth-c to this host | ip rule del pref 10
		ip rule add pref 11 fwmark 0x52000000/0xff000000 lookup 100 | problem | routing | to four \
			| ip rule del pref 11
		ip rule add pref 12 to $(server4 0) ipproto tcp dport 80 lookup 100 | problem | routing | to four \
			| ip rule del pref 12
		ip rule add pref 13 blackhole | problem | routing | to four | ip rule del pref 13
		ip -6 rule add pref 14 iif eth-c lookup 100 | problem | routing | to six .* eth-c \
			| ip -6 rule del pref 14
	END
	in_ns g ip rule add pref 10 lookup 100
	run doctor
	[[ $output == *'"10: from all lookup 100"'* ]]
	in_ns g ip rule del pref 10
	# These do no harm: behind ours, for others, without an answer.
	in_ns g ip rule add pref 200 iif eth-c lookup 100
	in_ns g ip rule add pref 10 to 192.0.2.1 lookup 100
	in_ns g ip rule add pref 11 lookup 101
	content
}

@test "sysctls" {
	gateway_up
	each_of <<-END
		sysctl -qw net.ipv4.conf.all.src_valid_mark=1 | problem | sysctls \
			| net/ipv4/conf/all/src_valid_mark is 1 | fix
		sysctl -qw net.ipv4.conf.eth-c.src_valid_mark=1 | problem | sysctls \
			| net/ipv4/conf/eth-c/src_valid_mark is 1 | fix
		sysctl -qw net.ipv4.conf.eth-s0.rp_filter=1 | warning | sysctls \
			| net/ipv4/conf/eth-s0/rp_filter is 1 | fix
		sysctl -qw net.ipv4.ip_forward=0 | warning | sysctls | net/ipv4/conf/eth-c/forwarding is 0 | fix
		sysctl -qw net.ipv6.conf.all.forwarding=0 | warning | sysctls | net/ipv6/conf/all/forwarding is 0 \
			| fix
	END
	# What the doctor has set, detach puts back.
	script rddr-detach
	[[ $(in_ns g sysctl -n net.ipv4.conf.all.src_valid_mark) == 1 ]]
	[[ $(in_ns g sysctl -n net.ipv6.conf.all.forwarding) == 0 ]]
}

@test "clients whose way back leaves by another interface, under a strict rp_filter" {
	sed -i "s|port: 80 }|port: 80, interface: eth-c, clients: 10.9.0.0/16 }|" "$CONFIG"
	gateway_up
	in_ns g sysctl -qw net.ipv4.conf.eth-c.rp_filter=1
	in_ns g ip route add 10.9.0.0/16 via 10.0.3.2
	finds problem routing "from 10.9.0.1 to four .* eth-c"
	grep -q "rp_filter is 1" <<<"$output"
	in_ns g ip route replace 10.9.0.0/16 via 10.0.1.2
	finds warning sysctls rp_filter
}

@test "packet filters of others" {
	gateway_up
	each_of <<-END
		iptables -t nat -A PREROUTING -p tcp -d $(server4 0) --dport 80 -j REDIRECT --to-ports 8080 \
			| problem | firewall | redirect | iptables -t nat -F
		iptables -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 10.0.3.2 | problem \
			| firewall | dnat | iptables -t nat -F
		iptables -t mangle -A PREROUTING -p tcp -d 10.0.2.0/24 -j TPROXY --on-port 1 --on-ip 127.0.0.1 \
			| problem | firewall | TPROXY | iptables -t mangle -F
		iptables -t mangle -A PREROUTING -i eth-c -j MARK --set-mark 7 | warning | firewall | mark set \
			| iptables -t mangle -F
		iptables -t raw -A PREROUTING -p tcp -d $(server4 0) -j NOTRACK | warning | firewall | notrack \
			| iptables -t raw -F
		iptables -A INPUT -p tcp --dport 80 -j DROP | problem | firewall | drop | iptables -F
		iptables -P INPUT DROP | problem | firewall | policy drop | iptables -P INPUT ACCEPT
		ip6tables -A INPUT -i eth-c -d $(server6 0) -j REJECT | problem | firewall | reject | ip6tables -F
		nft 'add table inet x; add chain inet x y { type filter hook input priority 0; policy drop; }; add rule inet x y ct state established accept' \
			| problem | firewall | policy drop | nft delete table inet x
		nft 'add table inet x; add chain inet x y { type filter hook prerouting priority 0; }; add rule inet x y fib saddr . mark . iif oif missing drop' \
			| warning | firewall | fib saddr | nft delete table inet x
		iptables -t nat -A POSTROUTING -o eth-s0 -j MASQUERADE | warning | firewall | masquerade \
			| iptables -t nat -F
	END
	# These do no harm.
	in_ns g iptables -A FORWARD -j DROP
	in_ns g iptables -A INPUT -p udp -j DROP
	in_ns g iptables -A INPUT -p tcp --dport 22 -j DROP
	in_ns g iptables -A INPUT -i lo -j DROP
	in_ns g iptables -t mangle -A PREROUTING -j MARK --set-mark 7/0xff
	content
}

@test "servers that do not answer" {
	gateway_up
	stop_nginx 1
	finds problem servers "four/twin .*: it refuses connections"
	in_ns s1 ip addr del "$(server4 1)/24" dev eth0
	finds problem servers "four/twin .*: (no answer|No route)"
	doctor_config "$CONFIG" 192.0.2.1:80
	finds problem servers "four/twin .*: there is no route"
}

@test "servers that would answer past the gateway" {
	gateway_up
	# On this host itself.
	doctor_config "$CONFIG" 10.0.3.1:80
	finds problem servers "four/twin .10.0.3.1. is on this host"
	# Where the clients are.
	doctor_config "$CONFIG" 10.0.1.9:80
	sed -i "s|$(server4 0), port: 80 }|$(server4 0), port: 80, clients: 10.0.1.0/24 }|" "$CONFIG"
	finds problem servers "four/twin .10.0.1.9. is in the same network as its clients, by eth-c"
	grep -q send_redirects <<<"$output"
	sed -i "s|, clients: 10.0.1.0/24||; s|$(server4 0), port: 80|&, interface: eth-c|" "$CONFIG"
	finds problem servers "10.0.1.9" # nobody is there
	grep -qE "^warning +servers: four/twin .10.0.1.9. is reached by eth-c, by which clients come in" <<<"$output"
}

@test "answers that come in by an interface without a filter" {
	script rddr-attach --interface eth-c --interface eth-s0 --config "$CONFIG"
	start_rddrd "$CONFIG"
	finds problem servers "four/twin .* is reached by eth-s1, which has no filter"
	doctor --fix || true
	filters_of eth-s1 | grep 0x52444452
	content
}

@test "the daemon: none, dead, hanging; and what its absence has cost" {
	attach --config "$CONFIG" >/dev/null
	finds problem daemon "none has published"
	grep -q "are dropped (when-down: closed)" <<<"$output"
	start_rddrd "$CONFIG"
	content
	signal rddrd STOP
	wait_for "the heartbeat to go stale" 20 finds problem daemon "none is alive: worker 0 has been silent for"
	signal rddrd CONT
	wait_for "a content doctor" 20 content
	stop rddrd KILL
	wait_for "the heartbeat to go stale" 20 finds problem daemon "none is alive"
	run ! in_ns c curl -s --max-time 3 "http://$(server4 0)/"
	finds problem daemon "none is alive"
	grep -qE "^warning +counters: divert_down_dropped is [1-9]" <<<"$output"
}

@test "a config that is wrong, or not the one that is published" {
	gateway_up
	sed -i 's/port: 80,/port: 81,/' "$CONFIG"
	finds warning services "published only: six fd00.* 80 eth-c .*config only: six fd00.* 81 eth-c"
	echo "nonsense: 1" >>"$CONFIG"
	finds problem config "config.yaml cannot be used"
	grep -q "nonsense" <<<"$output"
	run -1 script rddr-doctor --config "$RDDR_TMP/missing.yaml"
	[[ $output == *"missing.yaml"* ]]
}

@test "a config that listens by itself needs nothing attached" {
	cat >"$CONFIG" <<-END
		services:
		  plain:
		    direction: incoming
		    listen: 127.0.0.1:8080
		    instances:
		      - { name: live, chainer: directed, remote: "$(server4 0):80" }
	END
	run -0 doctor
	[[ $output == *"none of which intercepts anything"*"plain/live ($(server4 0) port 80) answers"*"no problems" ]]
}

@test "nothing is published" {
	attach >/dev/null
	finds problem services "none is published"
	doctor --fix || true
	finds problem daemon "none has published"
	grep -qE '^ok +services: four six' <<<"$output"
}

@test "pins of another network namespace" {
	gateway_up
	run -1 in_ns c "$RDDR_ROOT/scripts/rddr-doctor" --pin-dir "$RDDR_PIN"
	grep -E "^problem +pins: .* another network namespace: /run/netns/${RDDR_T}g" <<<"$output"
	stop rddrd
	ip netns del "${RDDR_T}g"
	run -1 in_ns c "$RDDR_ROOT/scripts/rddr-doctor" --pin-dir "$RDDR_PIN"
	grep -E "^problem +pins: .* stale: the network namespace .* is gone" <<<"$output"
}

@test "what is left of an attach that was killed" {
	RDDR_FAIL_AT=steer RDDR_FAIL_HOW=KILL run -137 script rddr-attach --interface eth-c
	finds problem pins "rules or filters of ours are here"
	script rddr-detach
	run -1 doctor
	grep -E "^problem +pins: not attached: nothing is pinned" <<<"$output"
}

@test "without the rights, and without bpffs" {
	run -1 in_ns g setpriv --bounding-set -net_admin,-bpf,-sys_admin --inh-caps -net_admin,-bpf,-sys_admin \
		"$RDDR_ROOT/scripts/rddr-doctor" --pin-dir "$RDDR_PIN"
	grep -E "^problem +rights: CAP_NET_ADMIN and CAP_BPF missing" <<<"$output"
	run -1 ip netns exec "${RDDR_T}g" "$RDDR_ROOT/scripts/rddr-doctor" --pin-dir "$RDDR_PIN"
	grep -E "^problem +pins: /sys/fs/bpf is not mounted in this mount namespace" <<<"$output"
	grep "nsenter --net=" <<<"$output"
}
