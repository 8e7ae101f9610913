#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# What is not RDDR's: rules, routes, filters and traffic of others are not touched by attach and detach.

bats_require_minimum_version 1.5.0
load lib
load lib-scripts

setup() { topology_up 1; }
teardown() {
	script rddr-detach >/dev/null 2>&1 || true
	topology_down
}

attach_all() { script rddr-attach --interface eth-c --interface eth-s0 "$@"; }

@test "rules and routes of others stay, even in our table and with our mark" {
	in_ns g ip rule add pref 133 fwmark 0x52000000/0xff000000 lookup 133
	in_ns g ip rule add pref 133 fwmark 0x52000000/0xff000000 lookup 133 protocol 99
	in_ns g ip rule add pref 7 to 192.0.2.0/24 lookup 133 protocol 82
	in_ns g ip rule del pref 7
	in_ns g ip -6 rule add pref 200 from fd00::/16 lookup 133
	in_ns g ip route add 192.0.2.0/24 dev eth-s0 table 133
	in_ns g ip route add local 198.51.100.1 dev lo table 133 proto 99
	remember
	attach_all
	script rddr-detach
	unchanged
}

@test "filters of others stay, and so does the qdisc that they are in" {
	in_ns g tc qdisc add dev eth-c clsact
	in_ns g tc filter add dev eth-c ingress pref 5 protocol ip u32 match u32 0 0
	in_ns g tc filter add dev eth-c egress pref 133 protocol all u32 match u32 0 0
	in_ns g tc qdisc add dev eth-s0 ingress
	remember
	attach_all
	filters_of eth-s0 | grep 0x52444452
	script rddr-detach
	unchanged
}

@test "a qdisc that we made stays when others have come to use it" {
	attach_all
	in_ns g tc filter add dev eth-c egress pref 9 protocol ip u32 match u32 0 0
	script rddr-detach
	in_ns g tc qdisc show dev eth-c | grep clsact
	in_ns g tc filter show dev eth-c egress | grep u32
	[[ -z $(in_ns g tc qdisc show dev eth-s0 clsact) ]]
}

@test "a filter of somebody else's at our preference is an error, and nothing is changed" {
	in_ns g tc qdisc add dev eth-c clsact
	in_ns g tc filter add dev eth-c ingress pref 133 protocol ip u32 match u32 0 0
	remember
	run -1 attach_all
	[[ $output == *"eth-c"*"u32"*"133"* ]]
	unchanged
}

# A connection through the gateway that is no service's: what is said on descriptor 8 comes back on descriptor 9.
open_echo() {
	in_ns s0 true
	spawn echo s0 socat TCP6-LISTEN:7,reuseaddr,fork,ipv6only=0 EXEC:cat
	wait_tcp s0 0.0.0.0 7
	mkfifo "$RDDR_TMP/to" "$RDDR_TMP/from"
	exec 8<>"$RDDR_TMP/to" 9<>"$RDDR_TMP/from"
	spawn talker c socat "OPEN:$RDDR_TMP/to,rdonly!!OPEN:$RDDR_TMP/from,wronly" "TCP:$1:7"
}
echoes() {
	local answer
	echo "$1" >&8
	read -r -t 30 -u 9 answer
	[[ $answer == "$1" ]]
}

@test "a connection of others goes on through attach, attach again and detach" {
	local address
	for address in "$(server4 0)" "[$(server6 0)]"; do
		open_echo "$address"
		echoes before
		attach_all
		echoes attached
		attach_all --sysctl
		echoes again
		script rddr-detach
		echoes detached
		stop talker
		stop echo
		rm "$RDDR_TMP/to" "$RDDR_TMP/from"
	done
}

@test "a stream of others is not cut, changed or refused while attach and detach go on" {
	local sum
	head -c 4000000 /dev/urandom >"$RDDR_TMP/data"
	sum=$(sha256sum <"$RDDR_TMP/data")
	spawn serve s0 socat -U TCP-LISTEN:9,reuseaddr,fork "OPEN:$RDDR_TMP/data,rdonly"
	wait_tcp s0 0.0.0.0 9
	cat >"$RDDR_TMP/fetch" <<-END
		while [[ ! -e $RDDR_TMP/enough ]]; do
			socat -u TCP:$(server4 0):9 - | sha256sum || exit 1
		done
	END
	spawn fetch c bash -o pipefail "$RDDR_TMP/fetch"
	for _ in 1 2 3; do
		attach_all
		script rddr-detach
	done
	touch "$RDDR_TMP/enough"
	stop fetch 0
	[[ $(sort -u "$RDDR_TMP/fetch.log") == "$sum" ]]
}
