#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# rddr-attach and rddr-detach: what they put in, and that nothing of it remains.

bats_require_minimum_version 1.5.0
load lib
load lib-scripts

setup() {
	rm -rf "$RDDR_PIN"*
	topology_up 1
}
teardown() {
	script rddr-detach >/dev/null 2>&1 || true
	rm -rf "$RDDR_PIN"*
	topology_down
}

attach_all() { script rddr-attach --interface eth-c --interface eth-s0 "$@"; }

@test "attach puts in the rule, the route, the filters and the programs; detach leaves everything as it was" {
	remember
	attach_all
	in_ns g ip rule | grep -E '^133:.* fwmark 0x52000000/0xff000000 lookup 133 proto 82'
	in_ns g ip -6 rule | grep -E '^133:.* fwmark 0x52000000/0xff000000 lookup 133 proto 82'
	in_ns g ip route show table 133 | grep '^local default dev lo'
	in_ns g ip -6 route show table 133 | grep '^local default dev lo'
	filters_of eth-c | grep 'handle 0x52444452'
	filters_of eth-s0 | grep 'handle 0x52444452'
	snapshot | grep sk_lookup
	script rddr-detach
	unchanged
}

@test "the mark and its mask are those of the kernel programs" {
	grep -iE "RDDR_FWMARK[[:space:]]+$(sed -n 's/^MARK=//p' "$RDDR_ROOT/scripts/lib.sh")u" "$RDDR_ROOT/bpf/shared.h"
	grep -iE "RDDR_FWMARK_MASK[[:space:]]+$(sed -n 's/^MASK=//p' "$RDDR_ROOT/scripts/lib.sh")u" "$RDDR_ROOT/bpf/shared.h"
}

@test "each command that changes something is shown" {
	run -0 attach_all
	[[ $output == *"+ tc qdisc add dev eth-c clsact"* ]]
	[[ $output == *"+ ip -4 rule add pref 133 "* ]]
	[[ $output == *"+ ip -6 route add local default dev lo table 133 "* ]]
	run -0 script rddr-detach
	[[ $output == *"+ tc filter del dev eth-s0 ingress "* ]]
	[[ $output == *"detached"* ]]
}

@test "a second attach changes nothing" {
	attach_all
	remember
	run -0 attach_all
	[[ $output != *"+ "* ]]
	unchanged
	script rddr-detach
	run -0 script rddr-detach
	[[ $output == *"nothing to do"* ]]
}

@test "a second attach adds interfaces" {
	remember
	script rddr-attach --interface eth-c
	[[ -z $(filters_of eth-s0) ]]
	script rddr-attach --interface=eth-s0
	filters_of eth-c | grep 'handle 0x52444452'
	filters_of eth-s0 | grep 'handle 0x52444452'
	script rddr-detach
	unchanged
}

@test "a filter that runs another program is replaced in place" {
	local old new
	attach_all
	old=$(filters_of eth-c | grep -o ' id [0-9]*')
	# What is pinned is made anew behind the filters' back, as when programs of another version are loaded.
	in_ns g "$RDDR_STEER" --pin-dir "$RDDR_PIN" detach
	in_ns g "$RDDR_STEER" --pin-dir "$RDDR_PIN" attach
	attach_all
	new=$(filters_of eth-c | grep -o ' id [0-9]*')
	[[ $(filters_of eth-c | grep -c 'handle 0x52444452') == 1 ]]
	[[ -n $new && $new != "$old" ]]
	[[ $new == "$(filters_of eth-s0 | grep -o ' id [0-9]*')" ]]
}

@test "an interface that the config names, but attach was not given" {
	steering_config "$RDDR_TMP/config.yaml"
	sed -i 's/port: 80 }/port: 80, interface: eth-s0 }/' "$RDDR_TMP/config.yaml"
	run -0 script rddr-attach --interface eth-c --config "$RDDR_TMP/config.yaml"
	[[ $output == *"warning: "*"names the interface eth-s0, which is not attached to"* ]]
	run -0 script rddr-attach --interface eth-s0 --config "$RDDR_TMP/config.yaml"
	[[ $output != *"names the interface"* ]]
}

@test "services are published before the daemon first starts" {
	steering_config "$RDDR_TMP/a config.yaml"
	remember
	attach_all --config "$RDDR_TMP/a config.yaml"
	in_ns g "$RDDR_STEER" --pin-dir "$RDDR_PIN" list --json | jq -e '[.. | strings] | index("four") and index("six")'
	script rddr-detach
	unchanged
}

@test "paths with spaces" {
	local tree="$RDDR_TMP/a source tree"
	mkdir -p "$tree/build"
	cp -r "$RDDR_ROOT/scripts" "$tree/"
	ln -s "$RDDR_STEER" "$tree/build/rddr-steer"
	steering_config "$tree/my config.yaml"
	remember
	unset RDDR_STEER
	in_ns g "$tree/scripts/rddr-attach" -i eth-c -p "$RDDR_PIN here/and there" -c "$tree/my config.yaml"
	[[ -e "$RDDR_PIN here/and there/divert" ]]
	in_ns g "$tree/scripts/rddr-status" -p "$RDDR_PIN here/and there" | grep 'eth-c'
	in_ns g "$tree/scripts/rddr-detach" -p "$RDDR_PIN here/and there"
	unchanged
}

@test "installed: found beside the script, with the library in lib/rddr" {
	local root="$RDDR_TMP/usr"
	mkdir -p "$root/sbin" "$root/lib/rddr" "$RDDR_TMP/bin"
	cp "$RDDR_ROOT"/scripts/rddr-{attach,detach,status,doctor} "$RDDR_STEER" "$root/sbin/"
	cp "$RDDR_ROOT"/scripts/*.{sh,awk} "$root/lib/rddr/"
	ln -s "$root/sbin/rddr-attach" "$RDDR_TMP/bin/linked"
	remember
	unset RDDR_STEER
	in_ns g "$RDDR_TMP/bin/linked" -i eth-c -p "$RDDR_PIN"
	in_ns g "$root/sbin/rddr-doctor" -p "$RDDR_PIN" --help | grep usage
	in_ns g "$root/sbin/rddr-detach" -p "$RDDR_PIN"
	unchanged
}

@test "sysctls are only named, or set on request and put back" {
	in_ns g sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
	in_ns g sysctl -qw net.ipv4.conf.eth-c.rp_filter=1 net.ipv4.conf.all.src_valid_mark=1
	in_ns g sysctl -qw net.ipv6.conf.eth-s0.forwarding=1
	remember
	run -0 attach_all
	[[ $output == *"sysctl -w net/ipv4/conf/all/src_valid_mark=0"* ]]
	[[ $output == *"sysctl -w net/ipv4/conf/eth-c/rp_filter=2"* ]]
	[[ $output == *"sysctl -w net/ipv6/conf/all/forwarding=1"* ]]
	[[ $(in_ns g sysctl -n net.ipv4.conf.all.src_valid_mark) == 1 ]]
	attach_all --sysctl
	[[ $(in_ns g sysctl -n net.ipv4.conf.all.src_valid_mark) == 0 ]]
	[[ $(in_ns g sysctl -n net.ipv4.conf.eth-c.rp_filter) == 2 ]]
	[[ $(in_ns g sysctl -n net.ipv4.conf.eth-c.forwarding) == 1 ]]
	[[ $(in_ns g sysctl -n net.ipv6.conf.all.forwarding) == 1 ]]
	script rddr-detach
	unchanged
}

@test "a sysctl that somebody changed since is not put back" {
	in_ns g sysctl -qw net.ipv4.conf.eth-c.rp_filter=1
	script rddr-attach --interface eth-c --sysctl
	in_ns g sysctl -qw net.ipv4.conf.eth-c.rp_filter=0
	script rddr-detach
	[[ $(in_ns g sysctl -n net.ipv4.conf.eth-c.rp_filter) == 0 ]]
}

@test "without IPv6 the IPv4 part is attached" {
	in_ns g sysctl -qw net.ipv6.conf.all.disable_ipv6=1
	remember
	attach_all
	in_ns g ip rule | grep 'lookup 133'
	[[ $(in_ns g ip -6 rule) != *"lookup 133"* ]]
	script rddr-detach
	unchanged
}

@test "an interface that vanished does not keep detach from working" {
	local before
	before=$(in_ns g ip rule)
	attach_all
	in_ns g ip link del eth-s0
	script rddr-detach
	[[ $(in_ns g ip rule) == "$before" ]]
	[[ ! -e $RDDR_PIN && ! -e $RDDR_STATE_DIR ]]
	[[ -z $(in_ns g tc qdisc show dev eth-c clsact) ]]
}

@test "bpffs is mounted when it is missing, and unmounted again" {
	# A mount namespace of our own, in a PID namespace of our own: /proc/1 is in it, as on a host.
	cat >"$RDDR_TMP/inside" <<-'END'
		set -eu
		while [ "$(stat -f -c %T /sys/fs/bpf)" = bpf_fs ]; do umount -l /sys/fs/bpf; done
		mounts() { grep ' /sys' /proc/self/mounts; }
		before=$(mounts)
		"$1/scripts/rddr-attach" --interface eth-c --pin-dir /sys/fs/bpf/rddr
		[ "$(stat -f -c %T /sys/fs/bpf)" = bpf_fs ]
		[ -e /sys/fs/bpf/rddr/divert ]
		"$1/scripts/rddr-detach"
		[ "$(mounts)" = "$before" ]
		"$1/scripts/rddr-attach" --interface eth-c
		mkdir /sys/fs/bpf/somebody-elses
		"$1/scripts/rddr-detach"
		[ -d /sys/fs/bpf/somebody-elses ]
	END
	in_ns g unshare --mount --pid --fork --mount-proc bash "$RDDR_TMP/inside" "$RDDR_ROOT"
}

@test "under ip netns exec, whose mounts go away with it, attach says what to do instead" {
	remember
	run -1 ip netns exec "${RDDR_T}g" "$RDDR_ROOT/scripts/rddr-attach" --interface eth-c --pin-dir "$RDDR_PIN"
	[[ $output == *"nsenter --net="* ]]
	unchanged
}

@test "a pin directory belongs to one network namespace, and a network namespace has one" {
	remember
	attach_all
	run -1 in_ns c "$RDDR_ROOT/scripts/rddr-attach" --interface eth0 --pin-dir "$RDDR_PIN"
	[[ $output == *"belongs to another network namespace"* ]]
	run -1 in_ns c "$RDDR_ROOT/scripts/rddr-detach" --pin-dir "$RDDR_PIN"
	[[ $output == *"belongs to another network namespace"* ]]
	run -1 in_ns g "$RDDR_ROOT/scripts/rddr-attach" --interface eth-c --pin-dir "$RDDR_PIN-other"
	[[ $output == *"rddr-detach --pin-dir $RDDR_PIN"* ]]
	# Without --pin-dir, detach finds what is attached here.
	in_ns g "$RDDR_ROOT/scripts/rddr-detach"
	unchanged
}

@test "pins that outlived their network namespace are replaced" {
	local inode
	attach_all
	ip netns del "${RDDR_T}g"
	in_ns c ip link add eth9 type veth peer name eth10
	in_ns c "$RDDR_ROOT/scripts/rddr-attach" --interface eth9 --pin-dir "$RDDR_PIN"
	in_ns c tc filter show dev eth9 ingress | grep 0x52444452
	inode=$(in_ns c stat -L -c %i /proc/self/ns/net)
	bpftool -j link show | jq -e --argjson n "$inode" '.[] | select(.netns_ino == $n)'
	in_ns c "$RDDR_ROOT/scripts/rddr-detach" --pin-dir "$RDDR_PIN"
	[[ ! -e $RDDR_PIN ]]
	[[ -z $(in_ns c tc qdisc show dev eth9 clsact) ]]
}

@test "two at once wait for each other" {
	remember
	spawn one g "$RDDR_ROOT/scripts/rddr-attach" --interface eth-c --pin-dir "$RDDR_PIN"
	spawn two g "$RDDR_ROOT/scripts/rddr-attach" --interface eth-s0 --pin-dir "$RDDR_PIN"
	stop one 0
	stop two 0
	filters_of eth-c | grep 0x52444452
	filters_of eth-s0 | grep 0x52444452
	script rddr-detach
	unchanged
}

@test "errors in use: exit status 2, nothing done" {
	local program
	remember
	for program in rddr-attach rddr-detach rddr-status rddr-doctor; do
		run -2 in_ns g "$RDDR_ROOT/scripts/$program" --nonsense
		[[ $output == *"--nonsense"*"--help"* ]]
		run -2 in_ns g "$RDDR_ROOT/scripts/$program" --pin-dir
		run -2 in_ns g "$RDDR_ROOT/scripts/$program" --pin-dir=
		run -2 in_ns g "$RDDR_ROOT/scripts/$program" $'--pin-dir=/sys/fs/bpf/a\nb' --interface eth-c
		run -2 in_ns g "$RDDR_ROOT/scripts/$program" surplus
	done
	run -2 script rddr-attach
	[[ $output == *"--interface"* ]]
	run -2 script rddr-attach --interface
	run -2 script rddr-attach --interface lo
	run -2 script rddr-attach --interface eth-c --config ""
	run -2 script rddr-doctor --config
	unchanged
}

@test "errors: exit status 1, with a reason, nothing done" {
	remember
	run -1 script rddr-attach --interface eth-c --interface nowhere9
	[[ $output == *"nowhere9"*"no such interface"* ]]
	run -1 in_ns g "$RDDR_ROOT/scripts/rddr-attach" --interface eth-c --pin-dir /tmp/no-bpffs
	[[ $output == *"/tmp/no-bpffs is not on a bpf file system"* ]]
	run -1 in_ns g "$RDDR_ROOT/scripts/rddr-attach" --interface eth-c --pin-dir /sys/fs/bpf/a.b
	[[ $output == *"no dots"* ]]
	run -1 script rddr-attach --interface eth-c --config "$RDDR_TMP/missing.yaml"
	[[ $output == *"missing.yaml"* ]]
	printf 'services:\n  x: { nonsense: 1 }\n' >"$RDDR_TMP/bad.yaml"
	run -1 script rddr-attach --interface eth-c --config "$RDDR_TMP/bad.yaml"
	[[ $output == *"bad.yaml:2:"* ]]
	run -1 in_ns g setpriv --bounding-set -net_admin --inh-caps -net_admin \
		"$RDDR_ROOT/scripts/rddr-attach" --interface eth-c --pin-dir "$RDDR_PIN"
	[[ $output == *"CAP_NET_ADMIN"* ]]
	RDDR_STEER=/nonexistent/steer run -1 script rddr-attach --interface eth-c
	[[ $output == *"/nonexistent/steer"* ]]
	in_ns g ip link set lo down
	run -1 script rddr-attach --interface eth-c
	[[ $output == *"ip link set dev lo up"* ]]
	in_ns g ip link set lo up
	in_ns g ip route add default dev lo table 133
	run -1 script rddr-attach --interface eth-c
	[[ $output == *"table 133"* ]]
	in_ns g ip route del default dev lo table 133
	unchanged
}

@test "help and version" {
	local program
	for program in rddr-attach rddr-detach rddr-status rddr-doctor; do
		run -0 "$RDDR_ROOT/scripts/$program" --help
		[[ $output == "usage: $program"* ]]
		run -0 "$RDDR_ROOT/scripts/$program" --version
		[[ $output == "$program $(sed -n 's/^VERSION := //p' "$RDDR_ROOT/Makefile")" ]]
	done
}
