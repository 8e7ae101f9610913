#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# What the doctor reads out of packet filters' rules, and the scripts' ways with JSON. No network is needed.

bats_require_minimum_version 1.5.0
load lib

WALK="$RDDR_ROOT/scripts/firewall.awk"

# judged EXPECTED SERVICE RULES: what is said of a service ("DESTINATION PORT INTERFACE CLIENTS") under rules of
# nft; EXPECTED: "LEVEL CODE", or several parted by commas, or "".
judge() { awk -v markmask=ff000000 -f "$WALK" | cut -f1,2 | tr '\t' ' ' | paste -sd,; }
judged() {
	local said
	said=$({
		printf 'service\ts\t%s\nattached\teth0\nattached\teth1\nrules\t%s\n' "${2// /$'\t'}" "${4:-nft}"
		printf '%s\n' "$3"
	} | judge)
	echo "$3: $said"
	[[ $said == "$1" ]]
}
# chain HOOK POLICY RULE...: one nft base chain.
chain() {
	local hook=$1 policy=$2
	shift 2
	printf 'table inet t {\n\tchain c {\n\t\ttype filter hook %s priority 0; policy %s;\n' "$hook" "$policy"
	printf '\t\t%s\n' "$@"
	printf '\t}\n}\n'
}

@test "which nft rules match" {
	local s="10.0.2.2/32 80 - -" expected rule
	while IFS='|' read -r expected rule; do
		judged "$expected" "$s" "$(chain input accept "$rule")"
	done <<-'END'
		problem drop|drop
		problem drop|counter packets 1 bytes 60 drop
		problem drop|tcp dport 80 reject with tcp reset
		problem drop|tcp dport { 22, 80, 443 } drop
		problem drop|tcp dport 70-90 drop
		problem drop|tcp dport != 22 drop
		problem drop|ip daddr 10.0.0.0/8 tcp dport 80 drop
		problem drop|ip daddr != 192.0.2.0/24 drop
		problem drop|meta l4proto tcp drop
		problem drop|ct state { new, invalid } drop
		warning drop|iifname "eth0" drop
		warning drop|ip daddr @some drop
		warning drop|ip saddr 10.9.0.0/16 drop
		warning drop|limit rate 5/second drop
		warning drop|tcp flags & (fin | syn) == syn drop
		|tcp dport 81 drop
		|tcp dport { 81, 82 } drop
		|ip daddr 10.0.2.3 drop
		|ip daddr 10.1.0.0/16 drop
		|ip6 daddr fd00::/8 drop
		|meta nfproto ipv6 drop
		|udp dport 80 drop
		|icmp type echo-request drop
		|iifname "lo" drop
		|iifname { "eth7", "ppp*" } drop
		|ct state invalid drop
		|ct state established,related accept
		|tcp dport 80 accept comment "not a drop"
	END
}

@test "other addresses whose connections are sent on to the service" {
	local s="10.0.2.2/32 80 - -" expected rule
	while IFS='|' read -r expected rule; do
		judged "$expected" "$s" "$(chain prerouting accept "$rule")"
	done <<-'END'
		warning dnat|ip daddr 198.51.100.1 tcp dport 8080 dnat ip to 10.0.2.2:80
		warning dnat|ip daddr 198.51.100.1 dnat to 10.0.2.2
		|ip daddr 198.51.100.1 dnat ip to 10.0.2.2:81
		|ip daddr 198.51.100.1 dnat ip to 10.0.2.3:80
	END
	judged "warning dnat" "fd00::2/128 80 - -" "$(chain prerouting accept 'ip6 daddr fd00:7::1 tcp dport 80 dnat ip6 to [fd00::2]:80')"
	judged "warning dnat" "$s" $'*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -d 198.51.100.1/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.0.2.2:80' $'iptables\tip'
}

@test "IPv6, prefixes and all ports as a service" {
	local s="fd00:0:0:2::2/128 443 eth0 fd00:9::/32"
	judged "problem drop" "$s" "$(chain input accept 'iifname "eth0" ip6 daddr fd00::/16 tcp dport 443 drop')"
	judged "problem drop" "$s" "$(chain input accept 'ip6 saddr fd00::/16 drop')"
	judged "" "$s" "$(chain input accept 'iifname "eth1" drop')"
	judged "" "$s" "$(chain input accept 'ip6 saddr fd01::/16 drop')"
	judged "warning drop" "10.0.0.0/8 - - -" "$(chain input accept 'ip daddr 10.2.0.0/16 drop')"
	judged "warning drop" "10.0.0.0/8 - - -" "$(chain input accept 'tcp dport 22 drop')"
	judged "" "10.0.0.0/8 - - -" "$(chain input accept 'ip daddr 11.2.0.0/16 drop')"
}

@test "the order of rules, jumps and policies" {
	local s="10.0.2.2/32 80 - -"
	judged "" "$s" "$(chain input drop 'tcp dport 80 accept' 'drop')"
	judged "problem drop" "$s" "$(chain input drop 'tcp dport 443 accept' 'drop')"
	judged "problem policy" "$s" "$(chain input drop 'ct state established,related accept')"
	judged "warning policy" "$s" "$(chain input drop 'iifname "eth0" accept')"
	judged "" "$s" "$(chain forward drop drop)"
	judged "" "$s" "$(chain input drop 'jump more' '} chain more {' 'tcp dport 80 accept' | sed 's/} chain/}\nchain/')"
	judged "problem drop" "$s" "$(chain input accept 'tcp dport 80 jump more' '} chain more {' 'drop' | sed 's/} chain/}\nchain/')"
	judged "" "$s" "$(chain input accept 'tcp dport 22 jump more' '} chain more {' 'drop' | sed 's/} chain/}\nchain/')"
	judged "problem policy" "$s" "$(chain input drop 'jump more' '} chain more {' 'return' 'accept' | sed 's/} chain/}\nchain/')"
}

@test "marks, redirections and checks of the source" {
	local s="10.0.2.2/32 80 - -" expected rule
	while IFS='|' read -r expected rule; do
		judged "$expected" "$s" "$(chain prerouting accept "$rule")"
	done <<-'END'
		problem mark|meta mark set 0x5
		problem mark|meta mark set ct mark
		problem mark|meta mark set mark and 0xffffff xor 0x5
		problem mark|meta mark set mark or 0x1000000
		|meta mark set mark and 0xffffff00 xor 0x5
		|meta mark set mark or 0x5
		|ct mark set mark
		problem nat|tcp dport 80 redirect to :8080
		problem nat|ip daddr 10.0.2.2 dnat to 10.0.3.2
		problem tproxy|tcp dport 80 tproxy to :50080 meta mark set 0x1 accept
		problem tproxy|tcp dport 80 counter packets 0 bytes 0 xt target TPROXY
		warning notrack|tcp dport 80 notrack
		warning rpfilter|fib saddr . iif oif missing drop
		warning rpfilter-mark|fib saddr . mark . iif oif missing drop
	END
	judged "" "$s" "$(chain input accept 'meta mark set 0x5')"
}

# tables TABLE POLICY RULES: as iptables-save prints them.
tables() {
	printf '*%s\n:PREROUTING ACCEPT [0:0]\n:INPUT %s [0:0]\n:MORE - [0:0]\n%s\nCOMMIT\n' "$1" "$2" "$3"
}

@test "rules of iptables" {
	local s="10.0.2.2/32 80 - -" expected table rule
	while IFS='|' read -r expected table rule; do
		judged "$expected" "$s" "$(tables "$table" ACCEPT "$rule")" $'iptables\tip'
	done <<-'END'
		problem drop|filter|-A INPUT -d 10.0.2.0/24 -p tcp -m tcp --dport 80 -j DROP
		problem drop|filter|-A INPUT -p tcp -m multiport --dports 80,443 -j REJECT --reject-with icmp-port-unreachable
		problem drop|filter|-A INPUT -p tcp -m tcp --dport 70:90 -m comment --comment "tcp -j ACCEPT" -j DROP
		problem drop|filter|-A INPUT ! -d 192.0.2.0/24 -j DROP
		warning drop|filter|-A INPUT -m limit --limit 5/sec -j DROP
		warning drop|filter|-A INPUT -i eth0 -j DROP
		|filter|-A INPUT -i lo -j DROP
		|filter|-A INPUT -p udp -j DROP
		|filter|-A INPUT -m conntrack --ctstate INVALID -j DROP
		|filter|-A INPUT -d 10.0.2.0/24 -j ACCEPT
		problem nat|nat|-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080
		problem tproxy|mangle|-A PREROUTING -p tcp -j TPROXY --on-port 80 --on-ip 127.0.0.1 --tproxy-mark 0x0/0x0
		problem mark|mangle|-A PREROUTING -j MARK --set-xmark 0x5/0xffffffff
		|mangle|-A PREROUTING -j MARK --set-xmark 0x5/0xff
		warning mark|mangle|-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff
		warning rpfilter|raw|-A PREROUTING -m rpfilter --invert -j DROP
		warning rpfilter-mark|raw|-A PREROUTING -m rpfilter --validmark --invert -j DROP
	END
	rule=$'-A INPUT -p tcp -j MORE\n-A MORE -p tcp -m tcp --dport 80 -j DROP'
	judged "problem drop" "$s" "$(tables filter ACCEPT "$rule")" $'iptables\tip'
	rule="-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"
	judged "problem policy" "$s" "$(tables filter DROP "$rule")" $'iptables\tip'
	judged "" "$s" "$(tables filter DROP "-A INPUT -j DROP")" $'iptables\tip6'
}

@test "the daemon's own connections" {
	[[ $(printf 'forged\nrules\tnft\n%s\n' "$(chain postrouting accept 'oifname "eth1" masquerade')" | judge) == "warning snat" ]]
	[[ $(printf 'rules\tnft\n%s\n' "$(chain postrouting accept 'oifname "eth1" masquerade')" | judge) == "" ]]
	[[ $(printf 'rules\tnft\n%s\n' "$(chain output drop)" | judge) == "warning output" ]]
}

in_lib() { bash -c 'source "$RDDR_ROOT/scripts/lib.sh"; "$@"' in_lib "$@"; }

@test "JSON is read as jq reads it" {
	local text
	for text in '{"a":[1,{"b":"x \"y\" \\ z"},true,null,[],{}],"c":{"d":-1.5},"e":""}' '[ ]' ' { "k" : [ [ 1 , 2 ] , 3 ] } '; do
		diff <(in_lib json_flatten <<<"$text") \
			<(jq -r 'paths(type != "object" and type != "array") as $p |
				".\($p | map(tostring) | join("."))\t\(getpath($p))"' <<<"$text")
	done
	[[ $(in_lib json_flatten <<<'"lone"') == $'\tlone' ]]
	run ! in_lib json_flatten <<<""
	run ! in_lib json_flatten <<<'{"a": [1, 2'
}

@test "JSON strings are written as jq reads them" {
	local text
	for text in plain 'with "quotes"' $'and a \\' $'a\ttab, a\nline, \x01 and \x7f' 'ünïcödé'; do
		[[ $(in_lib json_string "$text" | jq -r .; echo x) == "$text"$'\n'x ]]
	done
}

@test "commands are shown so that they can be typed" {
	[[ $(in_lib quoted tc "a b" "it's" "" "x;y") == "tc 'a b' 'it'\\''s' '' 'x;y'" ]]
}
