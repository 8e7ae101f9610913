#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Who may reach which server: decided on the address that is dialled, said in the log, and counted.

bats_require_minimum_version 1.5.0
load lib

setup() {
	topology_up
	for i in 0 1 2; do
		start_nginx "$i" --page "server $i"
	done
	in_ns c ip addr add 10.0.1.130/24 dev eth0
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		workers: 2
		evidence: { file: "" }
		zones:
		  guests: { prefixes: 10.0.1.128/25, parent: office }
		  office: { prefixes: [10.0.1.0/24, "fd00:0:0:1::/64"], parent: world }
		  world: {}
		  first: [10.0.2.0/24, "fd00:0:0:2::/64"]
		  second: 10.0.3.0/24
		services:
		  direct4:
		    listen: "$GATEWAY4:8080"
		    access:
		      - { name: no-guests, clients: guests, servers: first, action: deny }
		      - { name: staff, clients: world, servers: [first, second], action: allow }
		    instances: [{ chainer: directed, remote: "10.0.2.2:80" }]
		  direct6:
		    listen: "[$GATEWAY6]:8080"
		    access: [{ name: six, clients: office, servers: first, action: allow }]
		    instances: [{ chainer: directed, remote: "[fd00:0:0:2::2]:80" }]
		  several:
		    listen: "$GATEWAY4:8081"
		    access:
		      - { clients: guests, servers: first, action: deny }
		      - { servers: [first, second], action: allow }
		    instances: [{ chainer: failover, hosts: ["10.0.4.2:80", "10.0.2.2:80", "10.0.3.2:80"] }]
		  nobody:
		    listen: "$GATEWAY4:8082"
		    access: [{ clients: second, action: allow }]
		    instances: [{ chainer: directed, remote: "10.0.2.2:80" }]
		  pair:
		    listen: "$GATEWAY4:8083"
		    access: [{ servers: first, action: allow }]
		    instances:
		      - { name: good, chainer: directed, remote: "10.0.2.2:80" }
		      - { name: bad, chainer: directed, remote: "10.0.3.2:80" }
	END
	start_rddrd "$RDDR_TMP/rddr.yaml"
}
teardown() { topology_down; }

get() { in_ns c curl -sS --max-time 30 "$@"; }
said() { grep 'access: ' "$RDDR_TMP/rddrd.log" | tail -1; }

@test "allowed and denied: by the first rule that matches, with all four endpoints in one line" {
	[[ $(get "http://$GATEWAY4:8080/") == "server 0" ]]
	wait_for "the line" 20 grep -q 'access: allow' "$RDDR_TMP/rddrd.log"
	[[ $(said) =~ access:\ allow\ service=direct4\ rule=staff\ client=10.0.1.2:[0-9]+\ destination=10.0.1.1:8080\ local=10.0.2.1:[0-9]+\ server=10.0.2.2:80\ client-zone=office\ server-zone=first$ ]]

	run get --interface 10.0.1.130 "http://$GATEWAY4:8080/"
	[[ $status != 0 ]]
	wait_for "the line" 20 grep -q 'access: deny' "$RDDR_TMP/rddrd.log"
	[[ $(said) =~ access:\ deny\ service=direct4\ rule=no-guests\ client=10.0.1.130:[0-9]+\ destination=10.0.1.1:8080\ local=-\ server=10.0.2.2:80\ client-zone=guests\ server-zone=first$ ]]
	[[ $(counter direct4 dial_denied) == 1 && $(counter direct4 denied_missing) == 1 ]]
	[[ $(access_log 0 | wc -l) == 1 ]]

	[[ $(get "http://[$GATEWAY6]:8080/") == "server 0" ]]
	[[ $(counter direct6 dial_denied) == 0 ]]
}

@test "present means deny: who is in no rule, or in no zone, is refused" {
	run get "http://$GATEWAY4:8082/"
	[[ $status != 0 ]]
	[[ $(counter nobody dial_denied) == 1 ]]
	wait_for "the line" 20 grep -q 'access: deny service=nobody rule=default ' "$RDDR_TMP/rddrd.log"
}

@test "several hosts: one that is denied is skipped, and not taken for one that is down" {
	[[ $(get "http://$GATEWAY4:8081/") == "server 0" ]]
	[[ $(get --interface 10.0.1.130 "http://$GATEWAY4:8081/") == "server 1" ]]
	[[ $(counter several hosts_failed) == 0 && $(counter several dial_denied) == 0 ]]
	[[ -z $(ctl --json hosts several | jq -r '.instances[0].hosts[] | select(.state == "down")') ]]
	[[ ! -s $(_nginx_dir 2)/access.log ]]
}

@test "one instance that may not be reached denies the session" {
	run get "http://$GATEWAY4:8083/"
	[[ $status != 0 && $output != *"server "[0-9]* ]]
	[[ $(counter pair dial_denied) == 1 && $(counter pair denied_missing) == 1 ]]
}

@test "a reload changes the answer for new sessions" {
	sed -i 's/clients: second, action/clients: office, action/' "$RDDR_TMP/rddr.yaml"
	ctl reload
	[[ $(get "http://$GATEWAY4:8082/") == "server 0" ]]
	sed -i 's/clients: office, action/clients: nowhere, action/' "$RDDR_TMP/rddr.yaml"
	run -1 ctl reload
	[[ $(get "http://$GATEWAY4:8082/") == "server 0" ]]
	[[ $(log_of rddrd) == *"services.nobody.access[0].clients: there is no zone nowhere"* ]]
}
