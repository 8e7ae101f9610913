#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# A web service that is there already: watched first, then guarded, and nobody touched it.

load lib

setup() { pages_alike; }

@test "report mode: the client gets what the live server says, and differences are on record" {
	web_config 80 "enforcing: false" | configure
	begin
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	tail -n 1 "$LAB/s2/access.log" | grep -q '^10.0.1.2 10.0.4.2:80 "GET / '
	page 2 "another page"
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	wait_for "the record" 20 bash -c 'rddrctl --json evidence | jq -e ".evidence[0] | .action == \"report\" and .minority == \"variant\""'
	[[ $(stat -c %U:%G /var/log/rddr/evidence.jsonl) == rddr:rddr ]]
}

@test "it runs as its own user, with three capabilities, in a sandbox" {
	local pid
	pid=$(main_pid)
	[[ $(stat -c %U "/proc/$pid") == rddr ]]
	grep -qE '^NoNewPrivs:\s+1$' "/proc/$pid/status"
	grep -qE '^Seccomp:\s+2$' "/proc/$pid/status"
	# CAP_NET_BIND_SERVICE 10, CAP_NET_ADMIN 12, CAP_BPF 39
	grep -qE '^CapEff:\s+0000008000001400$' "/proc/$pid/status"
}

@test "enforcing by a reload: a page that differs is stopped, whoever has it; agreeing pages pass" {
	local i answer pid
	pid=$(main_pid)
	web_config 80 "enforcing: true" | configure
	systemctl reload rddrd.service
	[[ $(ctl --json status | jq .generation) == 2 ]]
	[[ $(main_pid) == "$pid" ]]
	for i in 0 1 2; do
		[[ $(get http://10.0.2.2/) == "$PAGE" ]]
		page "$i" "another page"
		answer=$(get http://10.0.2.2/) || true
		[[ $answer != *"another page"* && $answer != *"$PAGE"* ]]
		pages_alike
	done
	[[ $(counter web80 denied) == 3 ]]
}

@test "a config that is wrong is refused by the reload, and named; the old one goes on" {
	echo "nonsense: 1" >>"$CONFIG"
	run systemctl reload rddrd.service
	((status != 0))
	journalctl --no-pager -u rddrd.service | grep -q nonsense
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	sed -i '$d' "$CONFIG"
	systemctl reload rddrd.service
}

# It takes rules that are not its own for leftovers.
@test "systemd-networkd leaves the routing rule alone" {
	local had
	had=$(systemctl is-active systemd-networkd.service || true)
	ip link add lab-other type veth peer name lab-peer
	ip link set lab-peer up
	mkdir -p /run/systemd/network
	printf '[Match]\nName=lab-other\n[Network]\nAddress=192.0.2.1/32\n[RoutingPolicyRule]\nFrom=192.0.2.0/24\nTable=7\nPriority=7000\n' \
		>/run/systemd/network/10-lab.network
	systemctl restart systemd-networkd.service
	# When it sets an interface up it clears up first; then it makes the rules that it was told of.
	networkctl reconfigure lab-other
	wait_for "networkd's own rule" 30 bash -c 'ip rule | grep -q "lookup 7 "'
	[[ $(ip rule | grep -c 'lookup 133') == 1 && $(ip -6 rule | grep -c 'lookup 133') == 1 ]]
	rddr-status
	rm /run/systemd/network/10-lab.network
	[[ $had == active ]] || systemctl stop systemd-networkd.service systemd-networkd.socket
	ip rule del pref 7000
	ip link del lab-other
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
}

@test "a daemon that is killed comes back by itself" {
	local pid
	pid=$(main_pid)
	kill -KILL "$pid"
	wait_for "another daemon" 30 bash -c "p=\$(systemctl show -P MainPID rddrd.service); (( p && p != $pid )) && rddrctl status"
	wait_for "steering" 30 steered
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
}

@test "a daemon that hangs is found out by the watchdog" {
	local pid
	mkdir -p /run/systemd/system/rddrd.service.d
	printf '[Service]\nWatchdogSec=%ds\n' "$((3 * RDDR_PATIENCE))" >/run/systemd/system/rddrd.service.d/test.conf
	systemctl daemon-reload
	systemctl restart rddrd.service
	wait_for "steering" 30 steered
	pid=$(main_pid)
	kill -STOP "$pid"
	wait_for "another daemon" 60 bash -c "p=\$(systemctl show -P MainPID rddrd.service); (( p && p != $pid )) && rddrctl status"
	[[ $(systemctl show -P NRestarts rddrd.service) -ge 1 ]]
	rm -r /run/systemd/system/rddrd.service.d
	systemctl daemon-reload
	systemctl restart rddrd.service
	wait_for "steering" 30 steered
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
}

@test "stopped, the host is as it was, and the client reaches the server by itself" {
	finish
	diff /var/tmp/before <(host_snapshot)
	page 2 "another page"
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	[[ -z $(systemctl list-units --failed --plain --no-legend 'rddr*') ]]
}

@test "by the scripts alone: attach, the daemon by hand, detach, and the host is as it was" {
	# The record is the other user's still; this daemon is root's, without root's rights.
	rm -rf /var/log/rddr
	web_config 80 | configure
	rddr-attach --interface eth-c --interface eth-s0 --interface eth-s1 --interface eth-s2 --config "$CONFIG"
	# Nobody is alive yet: when-down is closed.
	no get --max-time 2 http://10.0.2.2/
	spawn byhand - rddrd --config "$CONFIG" --control /run/byhand.sock
	wait_for "the daemon" 30 rddrctl --control /run/byhand.sock status
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	stop byhand
	rddr-detach
	diff /var/tmp/before <(host_snapshot)
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	rm -rf /var/log/rddr
}
