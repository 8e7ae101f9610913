#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The gateway was booted anew, by 60-before-reboot.bats' leave.

load lib

# The time of an event of a unit's, in µs since boot.
when() { systemctl show -P "$2" "$1"; }

@test "attached again at boot, before there was a network to forward" {
	wait_for "the end of booting" 120 bash -c "[[ \$(systemctl is-system-running) =~ running|degraded ]]"
	systemctl --quiet is-active rddr-steer.service lab-network.service
	echo "attached at $(when rddr-steer.service ExecMainExitTimestampMonotonic), network from $(when lab-network.service ExecMainStartTimestampMonotonic)"
	(($(when rddr-steer.service ExecMainExitTimestampMonotonic) <= $(when lab-network.service ExecMainStartTimestampMonotonic)))
	[[ $(</proc/sys/net/ipv4/ip_forward) == 1 ]]
}

@test "until the daemon was there, when-down held: closed let nothing through, open did" {
	wait_for "the daemon" 60 steered
	((($(when rddrd.service ExecMainStartTimestampMonotonic)) > $(when lab-network.service ExecMainExitTimestampMonotonic)))
	systemctl stop lab-client.service
	tail -n 30 "$LAB/hammer.log"
	no grep -q '^80 page' "$LAB/hammer.log"
	grep -q '^81 page' "$LAB/hammer.log"
	(($(counter kernel divert_down_dropped) > 0))
	(($(counter kernel divert_down_passed) > 0))
}

@test "and then it guards" {
	pages_alike
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	page 1 "another page"
	no shows http://10.0.2.2/
	pages_alike
	systemctl disable lab-client.service
	rm -r /etc/systemd/system/rddrd.service.d
	systemctl daemon-reload
	finish
	# The lab's addresses are not given in the same order at each boot; what is RDDR's is gone.
	diff <(grep -vE '^(default|10\.|fd00|local|broadcast|fe80|anycast|multicast)' /var/tmp/before) \
		<(host_snapshot | grep -vE '^(default|10\.|fd00|local|broadcast|fe80|anycast|multicast)')
}
