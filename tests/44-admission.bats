#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# A client's SYN is held while the instances are dialled: it sees a closed or a dead service as it would without RDDR.

bats_require_minimum_version 1.5.0
load lib
load lib-scripts

# admission_config [ADMISSION] [LINES]: three instances for both families, the first the client's own destination.
# shellcheck disable=SC2001 # sed indents lines, which an expansion cannot
admission_config() {
	cat >"$CONFIG" <<-END
		workers: 2
		evidence: { file: "" }
		services:
		  web4:
		    intercept: { address: 10.0.2.2, port: 80 }
		    instances:
		      - { name: live,    chainer: transparent, forge-addr: true }
		      - { name: twin,    chainer: directed, remote: "10.0.3.2:80", forge-addr: true }
		      - { name: variant, chainer: directed, remote: "10.0.4.2:80", forge-addr: true }
		    admission: ${1:-"{}"}
		$(sed 's/^/    /' <<<"${2:-"deadlines: { connect: 4s }"}")
		  web6:
		    intercept: { address: "fd00:0:0:2::2", port: 80, interface: eth-c }
		    instances:
		      - { name: live,    chainer: transparent, forge-addr: true }
		      - { name: twin,    chainer: directed, remote: "[fd00:0:0:3::2]:80", forge-addr: true }
		      - { name: variant, chainer: directed, remote: "[fd00:0:0:4::2]:80", forge-addr: true }
		    admission: ${1:-"{}"}
		$(sed 's/^/    /' <<<"${2:-"deadlines: { connect: 4s }"}")
	END
}

setup() {
	CONFIG="$RDDR_TMP/rddr.yaml"
	topology_up
	for i in 0 1 2; do
		start_nginx "$i" --page "the page"
	done
	admission_config
}
teardown() { topology_down; }

steered() { [[ $(ctl --json status | jq -r .steering.state) == attached ]]; }
bound() { in_ns g cat /proc/net/netfilter/nfnetlink_queue | grep -qE '^ *21060 '; }
begin() {
	attach --config "$CONFIG"
	start_rddrd "$CONFIG"
	wait_for "steering" 20 steered
	wait_for "the queue" 20 bound
}
get() { in_ns c curl -sS --max-time 20 "$@"; }

@test "a service that answers: the session takes the connections that were dialled before the handshake" {
	begin
	[[ $(get "http://$(server4 0)/") == "the page" ]]
	[[ $(get "http://[$(server6 0)]/") == "the page" ]]
	for service in web4 web6; do
		ctl counters
		[[ $(counter $service admission_held) == 1 && $(counter $service admission_released) == 1 ]]
		[[ $(counter $service admission_adopted) == 1 && $(counter $service admission_missed) == 0 ]]
		[[ $(counter $service dials) == 3 ]]
	done
	for i in 0 1 2; do
		[[ $(access_log "$i" | wc -l) == 2 ]]
	done
}

# silence I, hear I: server I drops what comes in for port 80, or answers again.
silence() { _silence "$1" -I; }
hear() { _silence "$1" -D; }
_silence() {
	in_ns "s$1" iptables -w "$2" INPUT -p tcp --dport 80 -j DROP
	in_ns "s$1" ip6tables -w "$2" INPUT -p tcp --dport 80 -j DROP
}
urls() { printf '%s\n' "http://$(server4 0)/" "http://[$(server6 0)]/"; }
# ends STATUS [CURL ARGS]: how curl ends for both families.
ends() {
	local url expected=$1
	shift
	for url in $(urls); do
		run get "$@" "$url"
		echo "$url: $status: $output"
		[[ $status == "$expected" ]]
	done
}
# fine: both families get the page.
fine() {
	local url
	for url in $(urls); do
		[[ $(get "$url") == "the page" ]] || return
	done
}
at_least() { (($(counter "$1" "$2") >= $3)); }
held() { ctl --json services | jq -r --arg s "$1" '.services[] | select(.name == $s) | .admission.held'; }
holds() { [[ $(held "$1") == "$2" ]]; }
queue_rules() { in_ns g bash -c 'iptables-save; ip6tables-save' | grep -c 'NFQUEUE\|queue num' || true; }
# asking NAME URL: a client in the background; its words are in its log.
asking() { spawn "$1" c curl -sS --max-time 60 "$2"; }
got_page() { grep -qx "the page" "$RDDR_TMP/$1.log"; }

@test "refused: by the service, or by one of three instances, curl says so as it does without RDDR" {
	stop_nginx 1
	begin
	ends 7
	[[ $output == *"Connection refused"* || $output == *"Couldn't connect"* ]]
	[[ $(counter web4 admission_refused) == 1 && $(counter web6 admission_refused) == 1 ]]
	start_nginx 1 --page "the page"
	fine
	stop_nginx 0
	ends 7
	through=$output
	# What RDDR answered never reached the server that runs, and no session began.
	[[ $(counter web4 sessions) == 1 && $(counter web4 denied) == 0 ]]
	wait_for "nothing held" 20 holds web4 0
	detach
	ends 7
	[[ ${output//[0-9]/} == "${through//[0-9]/}" ]]
}

@test "no answer: curl times out; a server that answers while the SYN is held gets the client through" {
	silence 1
	begin
	ends 28 --connect-timeout 2
	wait_for "the end of the attempts" 30 at_least web4 admission_dropped 1
	wait_for "the end of the attempts" 30 at_least web6 admission_dropped 1
	[[ $(counter web4 admission_refused) == 0 && $(counter web4 sessions) == 0 ]]

	asking four "http://$(server4 0)/"
	asking six "http://[$(server6 0)]/"
	wait_for "SYNs that are sent again" 30 at_least web4 admission_retransmitted 2
	wait_for "SYNs that are sent again" 30 at_least web6 admission_retransmitted 2
	hear 1
	wait_for "the page" 60 got_page four
	wait_for "the page" 60 got_page six
	[[ $(counter web4 admission_released) == 1 && $(counter web4 sessions) == 1 ]]
}

@test "enforcing: false: the client sees what instance 0 does, and the others are as in any session" {
	# Whoever waited for the one that is silent would wait longer than curl does.
	admission_config "{}" $'enforcing: false\ndeadlines: { connect: 60s }'
	stop_nginx 1
	silence 2
	begin
	fine
	[[ $(counter web4 admission_adopted) == 1 && $(counter web4 admission_released) == 1 ]]
	[[ $(counter web4 dial_refused) == 1 ]]
	stop_nginx 0
	ends 7
	[[ $(counter web4 admission_refused) == 1 ]]
}

@test "access control speaks before the handshake; what this host cannot do is no refusal" {
	admission_config "{}" $'deadlines: { connect: 4s }\naccess: [{ clients: elsewhere, action: allow }]'
	echo 'zones: { elsewhere: 10.9.0.0/16 }' >>"$CONFIG"
	begin
	ends 7
	[[ $(counter web4 admission_denied) == 1 && $(counter web6 admission_denied) == 1 ]]
	[[ $(counter web4 sessions) == 0 && -z $(access_log 0) ]]

	# A local address that is not one of this host's.
	admission_config "{}"
	sed -i 's/chainer: directed, remote: "10.0.4.2:80", forge-addr: true/chainer: directed, remote: "10.0.4.2:80", local: 192.0.2.77/' "$CONFIG"
	ctl reload
	# The client is accepted, and cut off as in any session; which may look like a refusal to curl.
	wait_for "the session that is denied" 20 passed_on
	[[ -z $(access_log 0) && $(counter web4 admission_passed) -ge 1 ]]
}

passed_on() {
	run get "http://$(server4 0)/"
	[[ $status != 0 ]] && at_least web4 denied_missing 1
}

@test "killed and stopped daemons: nothing hangs, and clients that wait get through when one is there" {
	silence 1
	begin
	asking killed "http://$(server4 0)/"
	wait_for "a held SYN" 20 holds web4 1
	stop rddrd KILL
	hear 1
	start_rddrd "$CONFIG"
	wait_for "the page" 60 got_page killed

	silence 1
	asking stopped "http://$(server4 0)/"
	wait_for "a held SYN" 20 holds web4 1
	signal rddrd STOP
	# Long enough to count as dead, and for the attempt to be too old.
	sleep 6
	hear 1
	signal rddrd CONT
	wait_for "the page" 60 got_page stopped
	wait_for "nothing held" 20 holds web4 0
	fine
}

@test "reload and takeover: SYNs are held, or not, as the config says; the queue goes from daemon to daemon" {
	begin
	fine
	sed -i '/admission:/d' "$CONFIG"
	ctl reload
	wait_for "the queue to be left" 20 not bound
	fine
	[[ $(counter web4 admission_held) == 1 && $(counter web4 admission_missed) == 0 ]]
	admission_config
	ctl reload
	wait_for "the queue" 20 bound
	fine
	[[ $(counter web4 admission_held) == 2 ]]

	silence 1
	asking waits "http://$(server4 0)/"
	wait_for "a held SYN" 20 holds web4 1
	rddrd_args "$CONFIG" --takeover
	spawn second g "${RDDRD[@]}"
	wait_for "the first to end" 40 gone rddrd
	wait_for "the queue" 20 bound
	hear 1
	wait_for "the page" 60 got_page waits
	fine
	[[ $(counter web4 admission_adopted) -ge 1 ]]
}
not() { ! "$@"; }
gone() { ! alive "$1"; }

@test "the rule: put in by attach, missed by the doctor, taken out by detach, undone when attach is interrupted" {
	# Rules, and chains that are nobody's own; iptables leaves empty tables behind.
	snapshot() { in_ns g bash -c "$(declare -f _snapshot); _snapshot; iptables-save | grep -E '^(-A|:.* - )'; ip6tables-save | grep -E '^(-A|:.* - )'; true"; }
	in_ns g iptables -A INPUT -p udp --dport 9 -j DROP
	remember
	for at in queue-4 queue-6 steer end; do
		run env RDDR_FAIL_AT=$at nsenter --net="/run/netns/${RDDR_T}g" rddr-attach --interface eth-c --pin-dir "$RDDR_PIN" --config "$CONFIG"
		echo "$at: $output"
		[[ $status != 0 ]]
		unchanged
	done
	attach
	[[ $(queue_rules) == 0 ]]
	start_rddrd "$CONFIG"
	wait_for "steering" 20 steered
	fine
	[[ $(counter web4 admission_missed) == 1 ]]
	run script rddr-doctor --config "$CONFIG"
	[[ $output == *"admission: a service has admission, but the rule that holds SYNs is missing for IPv4 and IPv6"* ]]
	run script rddr-status
	[[ $output == *"admission no rule"* ]]
	attach --admission
	[[ $(queue_rules) == 2 ]]
	[[ $(attach --admission) == "already attached"* ]]
	fine
	[[ $(counter web4 admission_missed) == 1 && $(counter web4 admission_adopted) == 1 ]]
	run script rddr-doctor --config "$CONFIG"
	echo "$output"
	[[ $output == *"ok       admission: "* && $output != *NFQUEUE* && $status == 0 ]]
	script rddr-status --json | jq -e '.admission == "on"'
	detach
	unchanged
}

@test "bounds: past them a SYN goes the ordinary way, or is dropped, as the config says" {
	silence 1
	admission_config "{ held: 4, held-per-client: 2, client-prefix: 24 }"
	begin
	in_ns c ip addr add 10.0.1.77/24 dev eth0
	for i in 1 2; do
		asking "held$i" "http://$(server4 0)/"
		wait_for "held SYNs" 20 holds web4 "$i"
	done
	# Of the same prefix: the session finds out that an instance is silent.
	run get --interface 10.0.1.77 "http://$(server4 0)/"
	[[ $status != 28 && $output != "the page" ]]
	at_least web4 admission_overflow 1
	at_least web4 denied_missing 1

	# They would send their SYNs again.
	stop held1 KILL
	stop held2 KILL
	admission_config "{ held: 1, overflow: drop }" "deadlines: { connect: 60s }"
	ctl reload
	wait_for "nothing held" 30 holds web4 0
	asking held3 "http://$(server4 0)/"
	wait_for "a held SYN" 20 holds web4 1
	before=$(counter web4 sessions)
	run get --connect-timeout 3 "http://$(server4 0)/"
	[[ $status == 28 && $(counter web4 sessions) == "$before" ]]
}

@test "the mark and the queue are those of the kernel programs" {
	source "$RDDR_ROOT/scripts/lib-admission.sh"
	grep -qE "^#define RDDR_FWMARK_HOLD +${HOLD}u\$" "$RDDR_ROOT/bpf/shared.h"
	grep -qE "^#define RDDR_QUEUE[[:space:]]+$QUEUE\$" "$RDDR_ROOT/bpf/shared.h"
	MARK=0x52000000 MASK=0xff000000
	[[ $(queue_mark) == 0x52800000/0xff800000 ]]
}

@test "what admission cannot be for is refused with a reason" {
	check() {
		run "$RDDR_BUILD/rddrd" --config "$CONFIG" --plugin-dir "$RDDR_BUILD/diff" --check
		echo "$output"
		[[ $status == 1 && $output == *"services.web"*".admission"*"$1"* ]]
	}
	one() { printf 'services:\n  web:\n    instances: [{ chainer: %s }]\n    admission: %s\n%s\n' "$@" >"$CONFIG"; }
	one 'directed, remote: "10.0.3.2:80"' '{}' '    listen: "127.0.0.1:81"'
	check "needs intercept"
	one transparent '{}' '    intercept: { address: 10.0.2.2, port: 80 }
    proxy-protocol: { from: 10.0.1.0/24 }'
	check "not together with proxy-protocol"
	one inband '{}' '    intercept: { address: 10.0.2.2, port: 80 }'
	check "dials what the client names after the handshake"
	one transparent '{ held: 70000 }' '    intercept: { address: 10.0.2.2, port: 80 }'
	check "held"
	one transparent '{ overflow: maybe }' '    intercept: { address: 10.0.2.2, port: 80 }'
	check "overflow"
	one transparent '{ hold: 1 }' '    intercept: { address: 10.0.2.2, port: 80 }'
	check "hold"
}

@test "ten thousand held SYNs, all released once the server answers, and nothing left of them" {
	n=$((10000 / RDDR_LOAD_SCALE))
	cat >"$CONFIG" <<-END
		workers: 1
		evidence: { file: "" }
		services:
		  web4:
		    intercept: { address: 10.0.2.2, port: 80 }
		    instances: [{ name: live, chainer: transparent, forge-addr: true }]
		    admission: { held: 20000, held-per-client: 20000, client-prefix: 16 }
		    deadlines: { connect: 30s }
	END
	in_ns g ip route add 10.9.0.0/16 via "$CLIENT4"
	silence 0
	begin
	before=$(find "/proc/$(pid_of rddrd)/fd" -mindepth 1 | wc -l)
	in_ns c "$RDDR_BUILD/tests/tools/syns" 10.9.0.0 "$(server4 0)" 80 "$n"
	wait_for "held SYNs" 30 holds web4 "$n"
	[[ $(counter web4 admission_overflow) == 0 ]]
	# shellcheck disable=SC2016 # for awk
	[[ $(in_ns g awk '$1 == 21060 { print $3, $6, $7 }' /proc/net/netfilter/nfnetlink_queue) == "$n 0 0" ]]
	hear 0
	wait_for "all of them to be released" 60 at_least web4 admission_released "$n"
	[[ $(get "http://$(server4 0)/") == "the page" ]]
	wait_for "their end" 90 at_least web4 admission_unused "$n"
	wait_for "nothing held" 20 holds web4 0
	wait_for "descriptors" 20 descriptors_are "$((before + 8))"
}
descriptors_are() { (($(find "/proc/$(pid_of rddrd)/fd" -mindepth 1 | wc -l) <= $1)); }

@test "a flood of SYNs from one network, and another client works all the while, under SYN cookies too" {
	_namespace_add x
	_link_add eth-x x 9
	in_ns g ip route add 10.9.0.0/16 via 10.0.9.2
	admission_config "{ held: 256, held-per-client: 64, client-prefix: 24 }"
	for cookies in 1 2; do
		in_ns g sysctl -qw "net.ipv4.tcp_syncookies=$cookies"
		attach --config "$CONFIG" --interface eth-x
		start_rddrd "$CONFIG"
		wait_for "the queue" 20 bound
		spawn flood x "$RDDR_BUILD/tests/tools/syns" 10.9.0.0 "$(server4 0)" 80 $((40000 / RDDR_LOAD_SCALE)) $((4000 / RDDR_LOAD_SCALE))
		wait_for "the flood" 20 at_least web4 admission_held 100
		n=0
		while alive flood; do
			[[ $(get "http://$(server4 0)/") == "the page" ]]
			n=$((n + 1))
		done
		echo "cookies $cookies: $n pages; held $(counter web4 admission_held), overflow $(counter web4 admission_overflow)"
		((n >= 3))
		at_least web4 admission_overflow 1
		wait_for "nothing held" 60 holds web4 0
		stop rddrd
	done
}
