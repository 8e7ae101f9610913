# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# What rddr-attach, rddr-detach, rddr-status and rddr-doctor share: the names of what they put into a network
# namespace, finding it again, changing it with the undo armed first, and the record of what has to be put back.
#
# What is ours is known by its tag, not by the record: routes and rules by their protocol number, filters by their
# handle. The record (one file for a pin directory in a network namespace, under /run/rddr-steer) only holds what a tag
# cannot say: the queueing disciplines, directories and mounts that we made, and the old values of sysctls.

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
# Not the daemon's own directory: whoever may write here decides what rddr-detach does as root.
STATE_DIR=${RDDR_STATE_DIR:-/run/rddr-steer}
PIN_DIR=""
STATE=""        # the record's path
# shellcheck disable=SC2034 # used by the scripts
FAMILIES=(-4)   # and -6 where the kernel has it

PROGRAM=$(basename -- "$0")
RDDR_LIB=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
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

# json_flatten: JSON on stdin as lines PATH<tab>VALUE, one a scalar: ".services.0.name<tab>shop". Strings are
# unescaped but for \u.
json_flatten() {
	awk '
		function skip() { while (pos <= len && index(" \t\r\n", substr(text, pos, 1))) pos++ }
		# Past the last character substr is empty, which index would find anywhere.
		function ends() { return pos <= len && index("}]", substr(text, pos, 1)) }
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
			if (c == "") exit 1
			if (c == "{" || c == "[") {
				pos++
				skip()
				if (ends()) { pos++; return }
				for (n = 0; pos <= len; n++) {
					skip()
					key = n
					if (c == "{") { key = string(); skip(); pos++ }
					value(path "." key)
					skip()
					if (ends()) { pos++; return }
					pos++
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

# step NAME: a change is about to be made. For tests: RDDR_FAIL_AT, a step's name or number, stops there;
# RDDR_FAIL_HOW says how: "fail" (the default), or the name of a signal that the script sends itself.
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

# A script that changes things calls this first: whatever ends it before disarm() undoes what is armed. A signal
# then ends it as a signal does.
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
	if [[ -n ${RDDR_STEER:-} ]]; then
		STEER=$RDDR_STEER
		[[ -x $STEER ]] || die "RDDR_STEER is $STEER, which is no program"
	elif [[ -x $RDDR_LIB/../build/rddr-steer ]]; then
		STEER=$(realpath -- "$RDDR_LIB/../build/rddr-steer")
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

# has_capability NUMBER: whether it is effective. Read at one go: between two reads the file may change under the lines.
has_capability() {
	local effective
	effective=$(sed -n 's/^CapEff:[[:space:]]*//p' "/proc/$$/status")
	(((16#${effective:-0} >> $1) & 1))
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

# check_owner: whether what is pinned is another network namespace's; then dies. Pins of one that is gone are taken
# over: its records are forgotten. Inode numbers of network namespaces are used again soon; the link knows better,
# so it is asked.
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
			die "this network namespace is attached with another pin directory:" \
				"rddr-detach --pin-dir $(quoted "$other")"
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
		mounts_are_lasting || die "$BPFFS is not mounted in this mount namespace," \
			"and a mount made here would go away with it." \
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

# open_bpffs GROUP: the group can reach what it is let open below the bpf file system, when only root could.
open_bpffs() {
	local mode group
	is_bpffs "$BPFFS" && [[ $PIN_DIR == "$BPFFS"/* ]] || return 0
	read -r mode group < <(stat -c '%a %g' -- "$BPFFS")
	(((8#$mode & 8#011) == 0)) || return 0
	record opened "$BPFFS" "$mode" "$group"
	arm close_bpffs "$BPFFS" "$mode" "$group"
	change bpffs chgrp -- "$1" "$BPFFS"
	change bpffs chmod g+x -- "$BPFFS"
}
# close_bpffs DIR MODE GROUP: as it was; unless it is mounted no more.
close_bpffs() {
	is_bpffs "$1" || return 0
	change bpffs chgrp -- "$3" "$1"
	change bpffs chmod "$2" -- "$1"
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

# shellcheck source=scripts/lib-net.sh
source "$RDDR_LIB/lib-net.sh"
# shellcheck source=scripts/lib-admission.sh
source "$RDDR_LIB/lib-admission.sh"
