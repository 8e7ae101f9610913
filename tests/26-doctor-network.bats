#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# rddr-doctor about the way that packets take: routing, sysctls, packet filters of others, the servers' way back.

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
		sysctl -qw net.ipv4.conf.all.accept_source_route=1 net.ipv4.conf.eth-c.accept_source_route=1 | problem \
			| sysctls | net/ipv4/conf/eth-c/accept_source_route is 1 | fix
		sysctl -qw net.ipv6.conf.all.seg6_enabled=1 net.ipv6.conf.eth-c.seg6_enabled=1 | problem \
			| sysctls | net/ipv6/conf/eth-c/seg6_enabled is 1 | fix
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
