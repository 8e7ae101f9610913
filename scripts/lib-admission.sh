# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# shellcheck disable=SC2153 # the names in capitals are lib.sh's
# Part of lib.sh: the rule of the packet filter that holds SYNs for services with admission, in nft where the kernel has
# its `queue`, else in iptables.
#
# It stands in the input hook, behind the filter's own rules: what they drop is never held. There is one for each
# family and any number of services: divert marks the SYNs that it is for, so that it follows every reload. It always
# lets pass what nobody listens to the queue for (bypass): whether traffic may pass while no daemon is live, as each
# service's when-down says, divert has decided before. Then only a live daemon that does not hold SYNs (yet, or any
# more) is left, and there the listener takes them.

# As in bpf/shared.h.
HOLD=0x00800000
QUEUE=21060
QUEUE_TAG=rddr-admission # the name of nft's table, and the comment of iptables' rules

queue_mark() { printf '0x%08x/0x%08x' $((MARK | HOLD)) $((MASK | HOLD)); }
iptables_of() { if [[ $1 == -6 ]]; then say ip6tables; else say iptables; fi; }
has_tool() { type -P "$1" >/dev/null; }

nft_table() {
	local mark
	mark=$(queue_mark)
	cat <<END
table inet $QUEUE_TAG {
	chain input {
		type filter hook input priority 60; policy accept;
		meta mark & ${mark#*/} == ${mark%/*} tcp flags & (fin | syn | rst | ack) == syn queue num $QUEUE bypass;
	};
}
END
}
nft_can_queue() { has_tool nft && nft_table | nft --check --file - 2>/dev/null; }
nft_has_queue() { has_tool nft && nft list table inet "$QUEUE_TAG" >/dev/null 2>&1; }

# The tables of iptables that may hold our rule, the better one first: security comes after filter.
QUEUE_TABLES=(security mangle)
queue_rule() {
	QUEUE_RULE=(INPUT -p tcp --syn -m mark --mark "$(queue_mark)" -m comment --comment "$QUEUE_TAG"
		-j NFQUEUE --queue-num "$QUEUE" --queue-bypass)
}
# our_queue_rules FAMILY TABLE: as `iptables -S` has them.
our_queue_rules() {
	local tool
	tool=$(iptables_of "$1")
	has_tool "$tool" || return 0
	{ "$tool" -w -t "$2" -S INPUT 2>/dev/null || true; } | grep -E -- "--comment \"?$QUEUE_TAG\"?( |\$)" || true
}
# has_queue_rule FAMILY
has_queue_rule() {
	local table
	nft_has_queue && return 0
	for table in "${QUEUE_TABLES[@]}"; do
		[[ -z $(our_queue_rules "$1" "$table") ]] || return 0
	done
	return 1
}

# Our nft table is written by one command, so that it is whole or not there.
add_queue_table() {
	arm remove_queue_table
	change queue nft "$(nft_table | tr -s '\t\n' ' ')" || die "the rule of admission could not be put in"
}
remove_queue_table() {
	nft_has_queue || return 0
	change queue nft delete table inet "$QUEUE_TAG"
}

# Whether this kernel's iptables can have the rule in a table: tried in a chain of our own, which nothing leads to.
iptables_can_queue() {
	local status=0
	"$1" -w -t "$2" -N "$QUEUE_TAG" 2>/dev/null || return 1
	"$1" -w -t "$2" -A "$QUEUE_TAG" "${QUEUE_RULE[@]:1}" 2>/dev/null || status=1
	"$1" -w -t "$2" -F "$QUEUE_TAG" && "$1" -w -t "$2" -X "$QUEUE_TAG"
	return $status
}
# add_queue_rule FAMILY: fails when the kernel has no way to.
add_queue_rule() {
	local tool table
	tool=$(iptables_of "$1")
	has_tool "$tool" || return 1
	queue_rule
	for table in "${QUEUE_TABLES[@]}"; do
		iptables_can_queue "$tool" "$table" || continue
		arm remove_queue_rules "$1"
		change "queue$1" "$tool" -w -t "$table" -A "${QUEUE_RULE[@]}" || die "the rule of admission could not be put in"
		return
	done
	return 1
}
remove_queue_rules() {
	local tool table rule status=0
	local -a words
	tool=$(iptables_of "$1")
	for table in "${QUEUE_TABLES[@]}"; do
		while read -r rule; do
			[[ -n $rule ]] || continue
			read -r -a words <<<"${rule//\"/}"
			change "queue$1" "$tool" -w -t "$table" -D "${words[@]:1}" || status=1
		done < <(our_queue_rules "$1" "$table")
	done
	return $status
}

# Whether this kernel and its tools have one of the two ways. Leaves nothing behind but, of iptables, empty tables.
can_queue() {
	local table
	nft_can_queue && return 0
	has_tool iptables || return 1
	queue_rule
	for table in "${QUEUE_TABLES[@]}"; do
		if iptables_can_queue iptables "$table"; then
			return 0
		fi
	done
	return 1
}

# Puts in what is missing. Fails when the kernel or its tools cannot have it; dies when they could and it failed.
add_queue() {
	local family
	nft_has_queue && return 0
	for family in "${FAMILIES[@]}"; do
		has_queue_rule "$family" && continue
		if [[ $family == -4 ]] && nft_can_queue; then
			add_queue_table
			return
		fi
		add_queue_rule "$family" || return
	done
}
remove_queue() {
	local family status=0
	remove_queue_table || status=1
	for family in "${FAMILIES[@]}"; do
		remove_queue_rules "$family" || status=1
	done
	return $status
}
