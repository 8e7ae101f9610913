#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# What 70-after-reboot.bats looks at: two services, a client that hammers from before there is a network, and a daemon that takes its time.

load lib

@test "before the reboot: enabled at boot, with a server that is never to be seen uncompared" {
	pages_alike
	# Whoever sees a page at port 80 was not behind RDDR. At port 81 that is what when-down: open is for.
	page 2 "another page"
	{
		web_config 80 "when-down: closed"
		web_config 81 "when-down: open" "enforcing: false"
	} | configure
	systemctl enable rddr-steer.service rddrd.service lab-client.service
	mkdir -p /etc/systemd/system/rddrd.service.d
	printf '[Service]\nExecStartPre=/bin/sleep 4\n' >/etc/systemd/system/rddrd.service.d/slow.conf
	rm -f "$LAB/hammer.log"
	begin
	[[ $(get http://10.0.2.2:81/) == "$PAGE" ]]
	no shows http://10.0.2.2/
}
