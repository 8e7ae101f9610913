# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2153 # the names in capitals are lib.sh's
# Part of lib.sh: what RDDR has in a network namespace, each thing with how to find it, to put it in and to take it
# out.

# --- routing ---------------------------------------------------------------------------------------------------------

# rules FAMILY: as `ip rule`, with numbers for names.
rules() { ip "$1" -N rule show; }

# our_rules FAMILY: the priority, mark/mask and table of each rule that has our tag.
our_rules() {
	rules "$1" | awk -v proto="$PROTOCOL" '
		$NF == proto && $(NF - 1) == "proto" {
			mark = table = "-"
			for (i = 1; i < NF; i++) {
				if ($i == "fwmark") mark = $(i + 1)
				if ($i == "lookup") table = $(i + 1)
			}
			print $1 + 0, mark, table
		}'
}
has_rule() { our_rules "$1" | grep -qxF "$PRIORITY $MARK/$MASK $TABLE"; }
add_rule() {
	arm remove_rules "$1"
	change "rule$1" ip "$1" rule add pref "$PRIORITY" fwmark "$MARK/$MASK" lookup "$TABLE" protocol "$PROTOCOL"
}
remove_rules() {
	local pref mark table status=0
	while read -r pref mark table; do
		change "rule$1" ip "$1" rule del pref "$pref" fwmark "$mark" lookup "$table" protocol "$PROTOCOL" || status=1
	done < <(our_rules "$1")
	return $status
}

# A table that does not exist is an error to `ip route show`, and an empty one here.
table_routes() { ip "$1" -N route show table "$TABLE" 2>/dev/null || true; }
our_route() { grep -E "^(local|2) default dev lo .*proto $PROTOCOL( |\$)"; }
has_route() { table_routes "$1" | our_route >/dev/null; }
add_route() {
	local foreign
	foreign=$(table_routes "$1" | grep -E '^([a-z0-9]+ )?default ' | head -n 1 || true)
	[[ -z $foreign ]] || die "routing table $TABLE is in use by somebody else: ip $1 route show table $TABLE says: $foreign"
	arm remove_route "$1"
	change "route$1" ip "$1" route add local default dev lo table "$TABLE" proto "$PROTOCOL"
}
remove_route() {
	has_route "$1" || return 0
	change "route$1" ip "$1" route del local default dev lo table "$TABLE" proto "$PROTOCOL"
}

# --- interfaces ------------------------------------------------------------------------------------------------------

# These ask for the network namespace we are in; /sys/class/net may show another's.
has_interface() { ip link show dev "$1" >/dev/null 2>&1; }
interface_index() { ip -o link show dev "$1" 2>/dev/null | cut -d: -f1; }
interfaces() { ip -o link show | awk -F': ' '{ sub(/@.*/, "", $2); print $2 }'; }

# What stands behind "dev" in each line.
devices() { awk '{ for (i = 1; i < NF; i++) if ($i == "dev") print $(i + 1) }'; }
# The interfaces that have an ingress hook.
hooked_interfaces() { tc qdisc show | awk '$2 == "clsact" || $2 == "ingress"' | devices; }
is_hooked() { tc qdisc show dev "$1" 2>/dev/null | grep -qE '^qdisc (clsact|ingress) '; }

# ingress_filters IF: preference, handle, kind and program's id ("-" for what has none) of each filter.
ingress_filters() {
	tc filter show dev "$1" ingress 2>/dev/null | awk '
		$1 == "filter" {
			pref = handle = kind = id = "-"
			for (i = 2; i <= NF; i++) {
				if ($i == "pref") { pref = $(i + 1); kind = $(i + 2) }
				if ($i == "handle" || $i == "fh") handle = $(i + 1)
				if ($i == "id" && id == "-") id = $(i + 1)
			}
			if (handle != "-") print pref, handle, kind, id
		}'
}
# our_filters IF: preference and program's id of the filters that have our tag.
our_filters() { ingress_filters "$1" | awk -v handle="$HANDLE" '$2 == handle && $3 == "bpf" { print $1, $4 }'; }
has_filter() { [[ -n $(our_filters "$1") ]]; }
filtered_interfaces() {
	local interface
	for interface in $(hooked_interfaces); do
		if has_filter "$interface"; then
			say "$interface"
		fi
	done
}

add_qdisc() {
	is_hooked "$1" && return 0
	record qdisc "$1" "$(interface_index "$1")"
	arm remove_qdisc "$1" "$(interface_index "$1")"
	change "qdisc-$1" tc qdisc add dev "$1" clsact
}
# remove_qdisc IF INDEX: the one that we made, unless it is another interface by now, or others have put filters
# there.
remove_qdisc() {
	[[ $(interface_index "$1") == "$2" ]] || return 0
	tc qdisc show dev "$1" | grep -q '^qdisc clsact ' || return 0
	if [[ -n $(tc filter show dev "$1" ingress)$(tc filter show dev "$1" egress) ]]; then
		say "$1: the clsact qdisc stays: others have filters there"
		return 0
	fi
	change "qdisc-$1" tc qdisc del dev "$1" clsact
}

# set_filter IF ID: makes our filter run the pinned program, whose id this is; one that runs another is replaced in
# one piece.
set_filter() {
	local kind
	[[ -z $2 || $(our_filters "$1") != "$PREF $2" ]] || return 0
	kind=$(ingress_filters "$1" | awk -v pref="$PREF" -v handle="$HANDLE" '$1 == pref && $2 != handle { print $3; exit }')
	[[ -z $kind ]] || die "$1: somebody else's $kind filter has preference $PREF: tc filter show dev $1 ingress"
	has_filter "$1" || arm remove_filters "$1"
	change "filter-$1" tc filter replace dev "$1" ingress protocol all pref "$PREF" handle "$HANDLE" \
		bpf direct-action object-pinned "$PIN_DIR/divert"
}
remove_filters() {
	local pref status=0
	while read -r pref _; do
		change "filter-$1" tc filter del dev "$1" ingress protocol all pref "$pref" handle "$HANDLE" bpf || status=1
	done < <(our_filters "$1")
	return $status
}

# --- sysctls ---------------------------------------------------------------------------------------------------------

# Keys are paths below /proc/sys: an interface's name may have dots.
sysctl_get() { cat "/proc/sys/$1" 2>/dev/null || true; }
# effective KEY-IN-CONF IF max|or: what the kernel makes of "all" and the interface's own.
effective() {
	local all own
	all=$(sysctl_get "net/ipv4/conf/all/$1")
	own=$(sysctl_get "net/ipv4/conf/$2/$1")
	case $3 in
	max) say "$((all > own ? all : own))" ;;
	or) say "$((all || own))" ;;
	esac
}
write_sysctl() { printf '%s\n' "$2" >"/proc/sys/$1"; }
change_sysctl() {
	step "sysctl-$1" || return
	say "+ echo $2 >/proc/sys/$1"
	write_sysctl "$1" "$2" || return
	CHANGES=$((CHANGES + 1))
}
set_sysctl() {
	local old
	old=$(sysctl_get "$1")
	[[ $old != "$2" ]] || return 0
	record sysctl "$1" "$old" "$2"
	arm restore_sysctl "$1" "$old" "$2"
	change_sysctl "$1" "$2"
}
# restore_sysctl KEY OLD NEW: unless somebody has changed it since.
restore_sysctl() {
	[[ $(sysctl_get "$1") == "$3" ]] || return 0
	change_sysctl "$1" "$2"
}

# sysctl_needs IF...: lines KEY<tab>VALUE<tab>WHY for every sysctl that does not let steered traffic, or what is
# forwarded beside it, through, or lets a client choose a way past RDDR.
sysctl_needs() {
	local interface key
	for interface; do
		if [[ $(effective src_valid_mark "$interface" or) == 1 ]]; then
			for key in all "$interface"; do
				if [[ $(sysctl_get "net/ipv4/conf/$key/src_valid_mark") == 1 ]]; then
					printf '%s\t0\t%s\n' "net/ipv4/conf/$key/src_valid_mark" \
						"the check of source addresses goes by our mark and drops every steered packet"
				fi
			done
		fi
		if [[ $(effective rp_filter "$interface" max) == 1 ]]; then
			printf '%s\t2\t%s\n' "net/ipv4/conf/$interface/rp_filter" \
				"packets whose way back leaves by another interface are dropped as they come in"
		fi
		if [[ $(sysctl_get "net/ipv4/conf/$interface/forwarding") == 0 ]]; then
			printf '%s\t1\t%s\n' "net/ipv4/conf/$interface/forwarding" \
				"IPv4 that is not steered is not forwarded from $interface"
		fi
		for key in ipv4/conf/%/accept_source_route ipv6/conf/%/seg6_enabled ipv6/conf/%/rpl_seg_enabled; do
			if [[ $(sysctl_get "net/${key/\%/all}") == 1 && $(sysctl_get "net/${key/\%/"$interface"}") == 1 ]]; then
				printf '%s\t0\t%s\n' "net/${key/\%/"$interface"}" \
					"who sends a packet to this host may name a server in it as the next stop, and it goes there past RDDR"
			fi
		done
	done | awk '!seen[$1]++'
	if [[ $(sysctl_get net/ipv6/conf/all/forwarding) == 0 ]]; then
		# A host that forwards stops believing router advertisements, unless it is told to go on.
		for interface in $(ip -6 route show default proto ra 2>/dev/null | devices | sort -u); do
			if [[ $(sysctl_get "net/ipv6/conf/$interface/accept_ra") == 1 ]]; then
				printf '%s\t2\t%s\n' "net/ipv6/conf/$interface/accept_ra" \
					"the default route is a router's advertisement, which a forwarding host would ignore"
			fi
		done
		printf '%s\t1\t%s\n' net/ipv6/conf/all/forwarding "IPv6 that is not steered is not forwarded"
	fi
}

# apply_sysctl KEY VALUE: as set_sysctl. Switching IPv6 forwarding overwrites each interface's own value, so those
# are kept as well.
apply_sysctl() {
	local path key
	if [[ $1 == net/ipv6/conf/all/forwarding ]]; then
		for path in /proc/sys/net/ipv6/conf/*/forwarding; do
			key=${path#/proc/sys/}
			if [[ $key != "$1" && $(<"$path") != 0 ]]; then
				# Undone after "all", which has made it 0.
				record sysctl "$key" "$(<"$path")" 0
				arm restore_sysctl "$key" "$(<"$path")" 0
			fi
		done
	fi
	set_sysctl "$1" "$2"
}
