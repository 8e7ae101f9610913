# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# What rddr-attach, rddr-detach, rddr-status and rddr-doctor share: the names of what they put into a network namespace, finding it
# again, changing it with the undo armed first, and the record of what has to be put back.
#
# What is ours is known by its tag, not by the record: routes and rules by their protocol number, filters by their handle. The record (one
# file for a pin directory in a network namespace, under /run/rddr) only holds what a tag cannot say: the queueing disciplines, directories and mounts that
# we made, and the old values of sysctls.

set -euo pipefail
export LC_ALL=C
export PATH="$PATH:/usr/sbin:/sbin"
umask 077

RDDR_VERSION=0.1.0

# The mark that divert sets, as in bpf/shared.h.
MARK=0x52000000
MASK=0xff000000
TABLE=133         # where marked packets are looked up
PRIORITY=133      # of the rule that sends them there
PROTOCOL=82       # the tag of our rules and routes
PREF=133          # of the filters
HANDLE=0x52444452 # their tag: "RDDR"

BPFFS=/sys/fs/bpf
STATE_DIR=${RDDR_STATE_DIR:-/run/rddr}
PIN_DIR=""
STATE=""        # the record's path
# shellcheck disable=SC2034 # used by the scripts
FAMILIES=(-4)   # and -6 where the kernel has it

PROGRAM=$(basename -- "$0")
TAB=$'\t'

# --- words -----------------------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*"; }
warn() { printf '%s: warning: %s\n' "$PROGRAM" "$*" >&2; }
fail() { printf '%s: %s\n' "$PROGRAM" "$*" >&2; }
die() {
	fail "$@"
	exit 1
}
usage_error() {
	fail "$@"
	printf "Try '%s --help'.\n" "$PROGRAM" >&2
	exit 2
}

# need_value OPTION VALUE...: for an option that wants one.
need_value() {
	if (($# < 2)) || [[ -z $2 ]]; then
		usage_error "$1: wants a value"
	fi
}

# Words as they could be typed into a shell.
quoted() {
	local word out=""
	for word; do
		if [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]]; then
			out+=" $word"
		else
			out+=" '${word//\'/\'\\\'\'}'"
		fi
	done
	printf '%s' "${out# }"
}

# json_string TEXT: as a JSON string.
json_string() {
	local text=$1 out="" c i
	for ((i = 0; i < ${#text}; i++)); do
		c=${text:i:1}
		case $c in
		'"' | \\) out+=\\$c ;;
		$'\t') out+='\t' ;;
		[[:cntrl:]]) printf -v c '\\u%04x' "'$c" && out+=$c ;;
		*) out+=$c ;;
		esac
	done
	printf '"%s"' "$out"
}

# json_flatten: JSON on stdin as lines PATH<tab>VALUE, one a scalar: ".services.0.name<tab>shop". Strings are unescaped but for \u.
json_flatten() {
	awk '
		function skip() { while (pos <= len && index(" \t\r\n", substr(text, pos, 1))) pos++ }
		function string(   out, c) {
			out = ""
			for (pos++; pos <= len; pos++) {
				c = substr(text, pos, 1)
				if (c == "\"") { pos++; return out }
				if (c == "\\") {
					c = substr(text, ++pos, 1)
					if (c == "n" || c == "t" || c == "r" || c == "b" || c == "f") c = " "
					else if (c == "u") c = "\\u"
				}
				out = out c
			}
			exit 1
		}
		function value(path,   c, n, key, start) {
			skip()
			c = substr(text, pos, 1)
			if (c == "{" || c == "[") {
				pos++
				skip()
				if (index("}]", substr(text, pos, 1))) { pos++; return }
				for (n = 0; pos <= len; n++) {
					skip()
					key = n
					if (c == "{") { key = string(); skip(); pos++ }
					value(path "." key)
					skip()
					if (index("}]", substr(text, pos++, 1))) return
				}
				exit 1
			}
			if (c == "\"") { print path "\t" string(); return }
			start = pos
			while (pos <= len && !index(",]} \t\r\n", substr(text, pos, 1))) pos++
			print path "\t" substr(text, start, pos - start)
		}
		{ text = text $0 "\n" }
		END { len = length(text); pos = 1; skip(); if (pos > len) exit 1; value("") }
	'
}

# --- changes, and their undoing --------------------------------------------------------------------------------------

STEPS=0   # changes begun; what RDDR_FAIL_AT counts
CHANGES=0 # changes made
UNDO=()   # commands, undone from the last to the first
UNDOING=0

# step NAME: a change is about to be made. For tests: RDDR_FAIL_AT, a step's name or number, stops there; RDDR_FAIL_HOW says how: "fail" (the
# default), or the name of a signal that the script sends itself.
step() {
	((!UNDOING)) || return 0
	STEPS=$((STEPS + 1))
	if [[ ${RDDR_FAIL_AT:-} == "$1" || ${RDDR_FAIL_AT:-} == "$STEPS" ]]; then
		if [[ ${RDDR_FAIL_HOW:-fail} == fail ]]; then
			fail "stopped before '$1', because RDDR_FAIL_AT says so"
			return 1
		fi
		kill -s "$RDDR_FAIL_HOW" $$
	fi
}

# change NAME CMD...: prints the command and runs it.
change() {
	local name=$1
	shift
	step "$name" || return
	say "+ $(quoted "$@")"
	if ! "$@"; then
		fail "failed: $(quoted "$@")"
		return 1
	fi
	CHANGES=$((CHANGES + 1))
}

# arm CMD...: what undoes the change that comes next. It must do no harm when that change was not made.
arm() {
	local command
	printf -v command '%q ' "$@"
	UNDO+=("$command")
}

# Runs what is armed, even when some of it fails.
undo() {
	local i
	set +e
	UNDOING=1
	if ((${#UNDO[@]})); then
		fail "undoing what was begun"
		for ((i = ${#UNDO[@]} - 1; i >= 0; i--)); do
			eval "${UNDO[i]}"
		done
		UNDO=()
	fi
}

# A script that changes things calls this first: whatever ends it before disarm() undoes what is armed. A signal then ends it as a signal does.
on_end() {
	local status=$?
	trap '' INT TERM HUP
	undo
	exit $status
}
on_signal() {
	trap '' INT TERM HUP
	trap - EXIT
	fail "got SIG$1"
	undo
	trap - "$1"
	kill -s "$1" $$
}
arm_undo() {
	trap on_end EXIT
	trap 'on_signal INT' INT
	trap 'on_signal TERM' TERM
	trap 'on_signal HUP' HUP
}
disarm() { UNDO=(); }

# --- where we are ----------------------------------------------------------------------------------------------------

# Finds rddr-steer: RDDR_STEER, the build of the source tree that the script is in, beside the script, or in PATH.
find_steer() {
	local dir
	dir=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
	if [[ -n ${RDDR_STEER:-} ]]; then
		STEER=$RDDR_STEER
		[[ -x $STEER ]] || die "RDDR_STEER is $STEER, which is no program"
	elif [[ -x $dir/../build/rddr-steer ]]; then
		STEER=$(realpath -- "$dir/../build/rddr-steer")
	elif [[ -x $SCRIPT_DIR/rddr-steer ]]; then
		STEER=$SCRIPT_DIR/rddr-steer
	elif ! STEER=$(type -P rddr-steer); then
		die "rddr-steer is not found: build it with make, or say where it is with RDDR_STEER"
	fi
}

netns_id() { stat -L -c %i /proc/self/ns/net; }

# Whether a network namespace (its inode) is still used, as far as can be seen from here; prints a path to it.
netns_path() {
	local path
	for path in /run/netns/* /proc/[0-9]*/ns/net; do
		if [[ $(stat -L -c %i "$path" 2>/dev/null) == "$1" ]]; then
			say "$path"
			return 0
		fi
	done
	return 1
}

fs_type() { stat -f -c %t -- "$1" 2>/dev/null || true; }
is_bpffs() { [[ $(fs_type "$1") == cafe4a11 ]]; }

# The nearest directory above a path that exists.
existing() {
	local path=$1
	while [[ ! -e $path ]]; do
		path=$(dirname -- "$path")
	done
	say "$path"
}

state_path() { say "$STATE_DIR/$(netns_id)-$(cksum <<<"$1" | cut -d' ' -f1).state"; }

# Where what is attached in this network namespace is pinned; the default when nothing is.
attached_pin_dir() {
	local file dir
	for file in "$STATE_DIR/$(netns_id)"-*.state; do
		[[ -e $file ]] || continue
		dir=$(recorded_in "$file" pin-dir)
		if [[ -d $dir ]]; then
			say "$dir"
			return 0
		fi
	done
	say "$BPFFS/rddr"
}

# Sets PIN_DIR and STATE.
locate() {
	local dir=$1
	if [[ $dir == *[$'\t\n']* ]]; then
		usage_error "--pin-dir: no tabs and line breaks, please"
	fi
	PIN_DIR=$(realpath -m -- "$dir")
	STATE=$(state_path "$PIN_DIR")
	if [[ -r /proc/sys/net/ipv6/conf/lo/disable_ipv6 && $(</proc/sys/net/ipv6/conf/lo/disable_ipv6) == 0 ]]; then
		FAMILIES+=(-6)
	fi
}

# One attach or detach at a time on this machine. The lock is shared with whoever mounts bpffs under it.
lock() {
	local lock
	exec {lock}</sys/fs
	flock -w 60 "$lock" || die "another rddr-attach or rddr-detach has been running for a minute"
}

# has_capability NUMBER: whether it is effective.
has_capability() {
	local key value
	while read -r key value; do
		if [[ $key == CapEff: ]]; then
			(((16#$value >> $1) & 1))
			return
		fi
	done </proc/self/status
	return 1
}

missing_capabilities() {
	local missing=()
	has_capability 12 || missing+=(CAP_NET_ADMIN)
	has_capability 39 || has_capability 21 || missing+=(CAP_BPF)
	say "${missing[*]}"
}

need_capabilities() {
	local missing
	missing=$(missing_capabilities)
	if [[ -n $missing ]]; then
		die "not permitted: ${missing// / and } missing; run it as root"
	fi
}

# --- the record ------------------------------------------------------------------------------------------------------

# recorded_in FILE KEY: the values of a key, one a line.
recorded_in() { awk -F'\t' -v key="$2" '$1 == key { sub(/^[^\t]*\t/, ""); print }' "$1" 2>/dev/null || true; }
recorded() { recorded_in "$STATE" "$1"; }

# record KEY VALUE...: before the change that it is about.
record() {
	local line
	line=$(
		IFS=$TAB
		printf '%s' "$*"
	)
	if ! grep -qsxF -- "$line" "$STATE"; then
		printf '%s\n' "$line" >>"$STATE"
	fi
}

# begin_record: opens the record, and arms its undoing.
begin_record() {
	local old
	if [[ -e $STATE ]]; then
		old=$(<"$STATE")
		arm restore_record "$old"
	else
		arm forget_record
	fi
	(umask 022 && mkdir -p -- "$STATE_DIR")
	record version "$RDDR_VERSION"
	record netns "$(netns_id)"
	record pin-dir "$PIN_DIR"
}
restore_record() { printf '%s\n' "$1" >"$STATE"; }
forget_record() {
	rm -f -- "$STATE"
	rmdir -- "$STATE_DIR" 2>/dev/null || true
}

# check_owner: whether what is pinned is another network namespace's; then dies. Pins of one that is gone are taken over: its records are forgotten.
# Inode numbers of network namespaces are used again soon; the link knows better, so it is asked.
check_owner() {
	local netns path file
	load_list
	netns=${LIST[.link.netns]:-}
	if [[ $netns == 0 ]]; then
		say "the network namespace that $PIN_DIR was attached in is gone"
		for file in "$STATE_DIR"/*.state; do
			if [[ -e $file && $(recorded_in "$file" pin-dir) == "$PIN_DIR" ]]; then
				rm -f -- "$file"
			fi
		done
	elif [[ -n $netns && $netns != "$(netns_id)" ]]; then
		path=$(netns_path "$netns") || path=/proc/PID/ns/net
		die "$PIN_DIR belongs to another network namespace, $path: choose another --pin-dir here," \
			"or detach there with: nsenter --net=$(quoted "$path") rddr-detach --pin-dir $(quoted "$PIN_DIR")"
	fi
}

# check_only: whether this network namespace is attached with another pin directory; then dies.
check_only() {
	local file other
	for file in "$STATE_DIR/$(netns_id)"-*.state; do
		[[ -e $file && $file != "$STATE" ]] || continue
		other=$(recorded_in "$file" pin-dir)
		if [[ -e $other/divert && -n $(our_rules -4)$(filtered_interfaces) ]]; then
			die "this network namespace is attached with another pin directory: rddr-detach --pin-dir $(quoted "$other")"
		fi
	done
}

# --- bpffs -----------------------------------------------------------------------------------------------------------

# Says why PIN_DIR cannot be one; fails when it can.
bad_pin_dir() {
	local rest
	case $PIN_DIR in
	"$BPFFS") say "--pin-dir: a directory below $BPFFS, not $BPFFS itself" ;;
	"$BPFFS"/*)
		rest=${PIN_DIR#"$BPFFS"/}
		[[ $rest == *.* ]] || return 1
		say "--pin-dir: $PIN_DIR: no dots, please; the bpf file system does not take them"
		;;
	*)
		is_bpffs "$(existing "$PIN_DIR")" && return 1
		say "--pin-dir: $PIN_DIR is not on a bpf file system; take one below $BPFFS"
		;;
	esac
}

# Whether a mount made here would be seen by others, and outlive us.
mounts_are_lasting() { [[ $(readlink /proc/self/ns/mnt) == "$(readlink /proc/1/ns/mnt 2>/dev/null)" ]]; }

ensure_bpffs() {
	local dir missing=()
	dir=$(existing "$PIN_DIR")
	if ! is_bpffs "$dir"; then
		[[ -d $BPFFS ]] || die "$BPFFS is not there: this kernel has no BPF, or /sys is not mounted"
		mounts_are_lasting || die "$BPFFS is not mounted in this mount namespace, and a mount made here would go away with it." \
			"Instead of 'ip netns exec NAME', use: nsenter --net=/run/netns/NAME"
		record mounted "$BPFFS"
		arm unmount_bpffs
		change mount mount -t bpf -o mode=0700 bpf "$BPFFS"
	fi
	dir=$(dirname -- "$PIN_DIR")
	while [[ ! -e $dir ]]; do
		missing=("$dir" "${missing[@]}")
		dir=$(dirname -- "$dir")
	done
	for dir in "${missing[@]}"; do
		record made "$dir"
		arm remove_directory "$dir"
		change mkdir mkdir -- "$dir"
	done
}

# Only when it is empty: others may have come to use it. The kernel itself puts maps.debug and progs.debug there.
unmount_bpffs() {
	is_bpffs "$BPFFS" || return 0
	if [[ -z $(find "$BPFFS" -mindepth 1 -maxdepth 1 ! -name '*.debug' -print -quit) ]]; then
		change umount umount "$BPFFS"
	else
		say "$BPFFS stays mounted: others use it"
	fi
}
remove_directory() {
	[[ -d $1 ]] || return 0
	if [[ -z $(find "$1" -mindepth 1 -maxdepth 1 -print -quit) ]]; then
		change rmdir rmdir -- "$1"
	fi
}

# --- rddr-steer ------------------------------------------------------------------------------------------------------

is_pinned() { [[ -e $PIN_DIR/divert ]]; }
# rddr-steer keeps what it builds, or still needs, beside the directory: DIR~new, DIR~old.
steer_detach() {
	[[ -e $PIN_DIR || -e $PIN_DIR~new || -e $PIN_DIR~old ]] || return 0
	change unpin "$STEER" --pin-dir "$PIN_DIR" detach
}

# load_list: what rddr-steer says is pinned, in LIST, by path (".services.0.service").
# shellcheck disable=SC2034 # read by the scripts
declare -A LIST=()
# shellcheck disable=SC2034
load_list() {
	local key value
	LIST=()
	while IFS=$TAB read -r key value; do
		LIST[$key]=$value
	done < <("$STEER" --pin-dir "$PIN_DIR" list --json 2>/dev/null | json_flatten)
}

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

# The interfaces that have an ingress hook.
hooked_interfaces() { tc qdisc show | awk '$2 == "clsact" || $2 == "ingress" { for (i = 3; i < NF; i++) if ($i == "dev") print $(i + 1) }'; }
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
# remove_qdisc IF INDEX: the one that we made, unless it is another interface by now, or others have put filters there.
remove_qdisc() {
	[[ $(interface_index "$1") == "$2" ]] || return 0
	tc qdisc show dev "$1" | grep -q '^qdisc clsact ' || return 0
	if [[ -n $(tc filter show dev "$1" ingress)$(tc filter show dev "$1" egress) ]]; then
		say "$1: the clsact qdisc stays: others have filters there"
		return 0
	fi
	change "qdisc-$1" tc qdisc del dev "$1" clsact
}

# set_filter IF ID: makes our filter run the pinned program, whose id this is; one that runs another is replaced in one piece.
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

# sysctl_needs IF...: lines KEY<tab>VALUE<tab>WHY for every sysctl that does not let steered traffic, or what is forwarded beside it, through.
sysctl_needs() {
	local interface key
	for interface; do
		if [[ $(effective src_valid_mark "$interface" or) == 1 ]]; then
			for key in all "$interface"; do
				if [[ $(sysctl_get "net/ipv4/conf/$key/src_valid_mark") == 1 ]]; then
					printf '%s\t0\t%s\n' "net/ipv4/conf/$key/src_valid_mark" \
						"the check of source addresses takes our mark into account and drops every steered packet"
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
	done | awk '!seen[$1]++'
	if [[ $(sysctl_get net/ipv6/conf/all/forwarding) == 0 ]]; then
		# A host that forwards stops believing router advertisements, unless it is told to go on.
		for interface in $(ip -6 route show default proto ra 2>/dev/null | awk '{ for (i = 1; i < NF; i++) if ($i == "dev") print $(i + 1) }' | sort -u); do
			if [[ $(sysctl_get "net/ipv6/conf/$interface/accept_ra") == 1 ]]; then
				printf '%s\t2\t%s\n' "net/ipv6/conf/$interface/accept_ra" \
					"the default route comes from router advertisements, which a forwarding host ignores otherwise"
			fi
		done
		printf '%s\t1\t%s\n' net/ipv6/conf/all/forwarding "IPv6 that is not steered is not forwarded"
	fi
}

# apply_sysctl KEY VALUE: as set_sysctl. Switching IPv6 forwarding overwrites each interface's own value, so those are kept as well.
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
