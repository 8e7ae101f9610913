#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The README's quickstart, word for word, on this gateway's names and addresses.

load lib

# commands TAG: what the README's blocks of that name say.
commands() {
	awk -v info="$1" '/^```/ { inside = ($0 == "```sh " info); next } inside' /opt/e2e/README.md |
		sed -e 's/10\.0\.2\.3/10.0.3.2/; s/10\.0\.2\.4/10.0.4.2/; s/"eth0 eth1"/"eth-c eth-s0 eth-s1 eth-s2"/; s/eth0/eth-c/'
}

@test "the quickstart: from nothing to report mode, then enforcing" {
	local said
	pages_alike
	rm -f "$CONFIG"
	commands quickstart >"$BATS_TEST_TMPDIR/all"
	[[ $(grep -c '^sudo' "$BATS_TEST_TMPDIR/all") -ge 10 ]]
	sed '/enforcing: true/,$d' "$BATS_TEST_TMPDIR/all" >"$BATS_TEST_TMPDIR/watch"
	sed -n '/enforcing: true/,$p' "$BATS_TEST_TMPDIR/all" >"$BATS_TEST_TMPDIR/enforce"
	bash -ex "$BATS_TEST_TMPDIR/watch"
	wait_for "steering" 30 steered
	page 2 "another page"
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	wait_for "the record" 20 bash -c 'rddrctl --json evidence | jq -e ".evidence[0] | .action == \"report\" and .minority == \"variant\""'

	bash -ex "$BATS_TEST_TMPDIR/enforce"
	said=$(get http://10.0.2.2/)
	[[ $said == *"Access denied"* && $said != *"another page"* ]]
	pages_alike
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
}

@test "the way out: watch only; out of the way, and at the next boot; 90-purge.bats has the rest" {
	page 2 "another page"
	commands back-out >"$BATS_TEST_TMPDIR/all"
	[[ $(wc -l <"$BATS_TEST_TMPDIR/all") == 4 ]]
	sed -n 1p "$BATS_TEST_TMPDIR/all" | bash -e
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	# While one session makes the daemon's end wait, others reach the server.
	spawn stays c bash -c 'exec 5<>/dev/tcp/10.0.2.2/80; printf "GET / HTTP/1.1\r\nHost: a\r\n\r\n" >&5; exec cat <&5'
	wait_for "a session" 30 bash -c "(( \$(rddrctl --json sessions | jq '.sessions | length') == 1 ))"
	sed -n 2p "$BATS_TEST_TMPDIR/all" | bash -e &
	wait_for "the drain" 30 bash -c "[[ \$(systemctl is-active rddrd.service) == deactivating ]]"
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	stop stays TERM
	wait $!
	diff /var/tmp/before <(host_snapshot)
	sed -n 3p "$BATS_TEST_TMPDIR/all" | bash -e
	no systemctl --quiet is-enabled rddr-steer.service
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	systemctl enable rddr-steer.service rddrd.service
}
