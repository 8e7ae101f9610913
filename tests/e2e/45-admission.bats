#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# SYNs held for a service: the rule that the packaged script puts in, and the daemon in its sandbox.

load lib

setup() { pages_alike; }

@test "admission: a client sees a closed service as closed, and an open one as ever" {
	local table
	{
		web_config 80 "admission: {}"
		# Nobody serves it.
		web_config 83 "admission: {}"
	} | configure
	begin
	wait_for "the queue" 30 grep -qE '^ *21060 ' /proc/net/netfilter/nfnetlink_queue
	if nft list table inet rddr-admission; then
		echo "# figure: SYNs are held by nft's queue" >&3
	else
		iptables-save | grep -q 'rddr-admission.*NFQUEUE'
		ip6tables-save | grep -q 'rddr-admission.*NFQUEUE'
		echo "# figure: SYNs are held by iptables' NFQUEUE" >&3
	fi
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	ctl counters
	[[ $(counter web80 admission_held) == 1 && $(counter web80 admission_adopted) == 1 ]]
	# curl's status for a connection that is refused; RDDR would have accepted it, and then denied.
	run get http://10.0.2.2:83/
	[[ $status == 7 ]]
	[[ $(counter web83 sessions) == 0 && $(counter web83 admission_held) == 1 ]]
	finish
	no grep rddr-admission <(nft list ruleset && iptables-save && ip6tables-save)
	# iptables leaves its empty tables behind, where it is what can have the rule.
	for table in "ip security" "ip6 security" "ip mangle" "ip6 mangle"; do
		# shellcheck disable=SC2086 # family and name
		nft delete table $table 2>/dev/null || true
	done
	diff /var/tmp/before <(host_snapshot)
}
