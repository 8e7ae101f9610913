#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The package goes onto a system without build tools, and does nothing before it is told what to guard.

load lib

@test "the package installs without build tools, and changes nothing of the network" {
	local tool
	for tool in gcc cc clang make ld bpftool; do
		no command -v "$tool"
	done
	host_snapshot >/var/tmp/before
	find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/tmp -o -path /var/log/journal \
		-o -path /var/lib/dpkg -o -path /var/cache -o -path /var/lib/systemd -o -path "$LAB" \) -prune -o -print | sort >/var/tmp/files
	dpkg --install "$DEBS"/first.deb
	[[ $(dpkg-query -W -f '${db:Status-Status}' rddr) == installed ]]
	diff <(host_snapshot) /var/tmp/before
	no rddr-status
	no systemctl --quiet is-active rddrd.service
	systemctl --quiet is-enabled rddrd.service rddr-steer.service
	[[ -z $(systemctl list-units --failed --plain --no-legend 'rddr*') ]]
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
}

@test "the daemon's user is nobody else, and may log in nowhere" {
	local entry
	entry=$(getent passwd rddr)
	[[ $entry == *:/nonexistent:/usr/sbin/nologin ]]
	[[ $(stat -c '%U:%G %a' /etc/rddr) == "root:rddr 750" ]]
}

@test "/etc/default/rddr is the operator's" {
	dpkg-query -W -f '${Conffiles}' rddr | grep -q /etc/default/rddr
}

@test "systemd finds the units well locked up" {
	local unit score
	for unit in rddrd.service rddr-steer.service rddr-interfaces.service; do
		systemd-analyze verify --man=no "$unit"
		score=$(systemd-analyze security --no-pager "$unit" | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
		echo "$unit: $score"
		awk -v s="$score" 'BEGIN { exit !(s > 0 && s < 2.5) }'
	done
}

@test "bash completes what the programs have" {
	completes() { # PROGRAM WORD BEFORE
		bash -c 'source /usr/share/bash-completion/completions/$1 && _rddr "$1" "$2" "$3" && echo "${COMPREPLY[@]}"' - "$@"
	}
	[[ $(completes rddrctl stat rddrctl) == status ]]
	[[ $(completes rddr-attach --inter rddr-attach) == --interface ]]
	[[ $(completes rddr-attach eth-s rddr-attach) == "" ]]
	[[ $(completes rddr-attach eth-s --interface) == "eth-s0 eth-s1 eth-s2" ]]
	[[ $(completes rddrd --take rddrd) == --takeover ]]
}
