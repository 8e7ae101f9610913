#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# What the units make of a boot at which something is missing or wrong.

load lib

filtered() { tc filter show dev "$1" ingress 2>/dev/null | grep -q 0x52444452; }

teardown_file() { ip link del late0 2>/dev/null || true; }

@test "an interface that is not there yet is attached to when it comes, and again when it comes again; stopping takes it all out" {
	pages_alike
	web_config 80 | configure
	sed -i 's/^INTERFACES=.*/INTERFACES="eth-c eth-s0 eth-s1 eth-s2 late0"/; s/^INTERFACE_WAIT=.*/INTERFACE_WAIT=1/' /etc/default/rddr
	begin
	systemctl --quiet is-active rddr-steer.service rddr-interfaces.service
	journalctl --no-pager -u rddr-steer.service | grep -q "no interface late0 yet"
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	ip link add late0 type veth peer name late1
	wait_for "the filter" 60 filtered late0
	ip link del late0
	ip link add late0 type veth peer name late1
	wait_for "the filter of the new one" 60 filtered late0
	# Who detaches by hand is not contradicted.
	rddr-detach
	ip link set late0 up
	ip link del late0
	systemctl restart rddr-steer.service
	finish
	no systemctl --quiet is-active rddr-interfaces.service
	diff /var/tmp/before <(host_snapshot)
}

@test "a config that is wrong at boot is replaced by the last that the daemon took: what was closed stays closed" {
	pages_alike
	web_config 80 "enforcing: false" "when-down: open" | configure
	begin
	# As the quickstart enforces.
	sed -i 's/enforcing: false/enforcing: true/; s/when-down: open/when-down: closed/' "$CONFIG"
	systemctl reload rddrd.service
	finish
	echo "nonsense: 1" >>"$CONFIG"
	systemctl reset-failed
	systemctl start rddr-steer.service
	journalctl --no-pager -u rddr-steer.service | grep -q "attaching with the config of the last time"
	no systemctl --quiet is-active rddrd.service
	no in_ns c curl -sS --max-time "$((3 * RDDR_PATIENCE))" http://10.0.2.2/
	# It can be stopped, as any unit that has started.
	finish
	diff /var/tmp/before <(host_snapshot)
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	sed -i '$d' "$CONFIG"
}

@test "what the doctor attaches is for the package's daemon to open" {
	pages_alike
	web_config 80 | configure
	begin
	rddr-detach
	rddr-doctor --config "$CONFIG" --fix || true
	wait_for "steering" 30 steered
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	finish
	# The unit, which had started, takes out what the doctor put in.
	diff /var/tmp/before <(host_snapshot)
}
