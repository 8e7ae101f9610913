#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Removed under way it lets go of the network; purged it leaves nothing.

load lib

@test "removed while it guards, the package detaches first, and keeps what is the operator's" {
	pages_alike
	web_config 80 | configure
	begin
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	dpkg --remove rddr
	no pgrep -x rddrd
	diff <(grep -vE '^(default|10\.|fd00|local|broadcast|fe80|anycast|multicast)' /var/tmp/before) \
		<(host_snapshot | grep -vE '^(default|10\.|fd00|local|broadcast|fe80|anycast|multicast)')
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	[[ -s $CONFIG && -s /etc/default/rddr ]]
}

@test "purged, it leaves nothing: no file, no user, no unit" {
	# As the README says it.
	eval "$(sed -n '/^sudo apt purge/p' /opt/e2e/README.md)"
	no getent passwd rddr
	no getent group rddr
	[[ -z $(ls -d /run/rddr* /var/log/rddr* /var/lib/rddr-steer /etc/rddr* 2>/dev/null) ]]
	[[ -z $(systemctl list-unit-files --plain --no-legend 'rddr*') ]]
	find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/tmp -o -path /var/log/journal \
		-o -path /var/lib/dpkg \
		-o -path /var/lib/apt -o -path /var/cache -o -path /var/lib/systemd -o -path "$LAB" \) -prune -o -print | sort |
		grep -vxFf /var/tmp/files | grep -vE '^/etc/(passwd|group|shadow|gshadow)-$|^/etc/systemd/system/lab|^/var/log/' >/var/tmp/left || true
	cat /var/tmp/left
	[[ ! -s /var/tmp/left ]]
}
