#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# make demo: RDDR at work, step by step, on a topology of its own. Everything that it says is looked up while it says it: a claim that does not
# hold ends the demo with status 1.
#
#   tests/demo.sh            a client, a gateway and three servers in network namespaces; steering by eBPF (needs root)
#   tests/demo.sh --direct   the listening form on loopback: no kernel rights at all
# shellcheck disable=SC2119 # the library's functions have arguments that may be left out
set -uo pipefail
cd "$(dirname "$0")/.." || exit

RDDR_T=${DEMO_T:-demo-$(printf '%x' $$)-}
. tests/lib.bash

if [[ -t 1 ]]; then
	bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' cyan=$'\e[36m' off=$'\e[0m'
	pause=${DEMO_PAUSE:-1.2}
else
	bold='' dim='' green='' red='' cyan='' off=''
	pause=${DEMO_PAUSE:-0}
fi

finish() {
	local status=$?
	trap - EXIT
	trap '' INT TERM
	if [[ -n ${attached:-} ]]; then
		detach >/dev/null 2>&1
	fi
	topology_down || status=1
	exit "$status"
}
trap finish EXIT
trap 'echo; echo "interrupted: cleaning up"; exit 130' INT
trap 'exit 143' TERM

# --- telling -------------------------------------------------------------------------------------------------------

number=0
step() {
	sleep "$pause"
	number=$((number + 1))
	printf '\n%s%s%d. %s%s\n' "$bold" "$cyan" "$number" "$1" "$off"
}
tell() { printf '   %s\n' "$@"; }
good() { printf '   %s✓%s %s\n' "$green" "$off" "$*"; }
# What is shown has the names of an installed RDDR, not this run's own.
plain() { sed "s|$RDDR_BUILD/||g; s|$RDDR_PIN|/sys/fs/bpf/rddr|g; s|$RDDR_TMP\(/run\)\?/evidence|/var/log/rddr/evidence|g"; }
indent() { plain | sed "s/^/   ${dim}│${off} /"; }
fail() {
	printf '\n   %s✗ %s%s\n' "$red" "$*" "$off"
	for log in "$RDDR_TMP"/*.log; do
		[[ ! -s $log ]] || { echo "--- $log" && tail -n 15 "$log"; }
	done
	exit 1
}
# claim WHAT CMD...: says it only when it is so.
claim() {
	local what=$1
	shift
	if "$@" >/dev/null 2>&1; then
		good "$what"
	else
		fail "not so: $what"
	fi
}
prompt() { printf '   %s%s$%s %s\n' "$bold" "$1" "$off" "$2"; }

# --- the two forms ---------------------------------------------------------------------------------------------------

page() { printf '<h1>The shop</h1><p>Shoes: 40 EUR</p>'; }
bad_page() { printf '<h1>The shop</h1><p>Shoes: 99 EUR</p>'; }

gateway_up() {
	((EUID == 0)) || fail "network namespaces want root; \`make demo DIRECT=1\` does not"
	step "A network: one client, one gateway, three servers that are to do the same work"
	topology_up || fail "the namespaces cannot be built"
	tell "" \
		"                                      ┌── 10.0.2.2  server 0 (live)" \
		"   10.0.1.2  client ──── gateway ─────┼── 10.0.3.2  server 1 (twin)" \
		"                                      └── 10.0.4.2  server 2 (variant)" ""
	for i in 0 1 2; do
		start_nginx "$i" "$(page)" || fail "no nginx"
	done
	good "three nginx, each with the same page, and with no idea of RDDR"
	url=http://10.0.2.2/
	client=c
	operator=gateway
	config="$RDDR_TMP/demo.yaml"
	cat >"$config" <<-END
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		services:
		  shop:
		    direction: incoming
		    intercept: { address: 10.0.2.2, port: 80, interface: eth-c }
		    instances:
		      - { name: live,    chainer: transparent, forge-addr: true }
		      - { name: twin,    chainer: directed, remote: "10.0.3.2:80", forge-addr: true }
		      - { name: variant, chainer: directed, remote: "10.0.4.2:80", forge-addr: true }
		    diff-class: bytes
		    enforcing: true
		    when-down: closed
	END
}

gateway_start() {
	step "RDDR takes its place in the gateway"
	tell "The whole config:"
	indent <"$config"
	prompt gateway "rddr-attach --interface eth-c --interface eth-s0 --interface eth-s1 --interface eth-s2"
	attached=1
	attach 2>&1 | indent
	[[ ${PIPESTATUS[0]} == 0 ]] || fail "attach failed"
	prompt gateway "rddrd --config demo.yaml"
	start_rddrd "$config" || fail "rddrd does not start"
	good "eBPF steers; the daemon listens"
}

gateway_proof() {
	local seen
	tell "What the three servers logged, each in its own access.log:"
	for i in 0 1 2; do
		access_log "$i" | tail -n 1 | sed "s/^/server $i: /" | indent
		seen=$(access_log "$i" | tail -n 1)
		[[ $seen == "$CLIENT4:"* ]] || fail "server $i did not see the client's address"
		(($(access_log "$i" | wc -l) == 1)) || fail "server $i was asked more than once"
	done
	good "each of them was asked once, and by 10.0.1.2: they believe they talk to the client"
	# A connection that stays open, for ss to show.
	# shellcheck disable=SC2016 # the inner shell's
	spawn held c bash -c 'exec 9<>/dev/tcp/10.0.2.2/80 && printf "GET / HTTP/1.1\r\nHost: shop\r\n\r\n" >&9 && read -r line <&9 &&
		echo "$line" && exec sleep 600'
	wait_for "the held connection's answer" 20 grep -q 200 "$RDDR_TMP/held.log" || fail "the held connection got no answer"
	prompt client "ss -tn"
	in_ns c ss -Htn state established | awk '{ print $3 "  ->  " $4 }' | indent
	claim "and the client believes it talks to 10.0.2.2" bash -c "nsenter --net=/run/netns/${RDDR_T}c ss -Htn state established | grep -q '10.0.2.2:80'"
	prompt gateway "rddrctl sessions"
	ctl sessions | indent
	stop held KILL
}

gateway_end() {
	step "RDDR leaves, and nothing of it remains"
	prompt gateway "rddr-detach"
	stop rddrd || fail "rddrd did not end in order"
	detach 2>&1 | indent
	[[ ${PIPESTATUS[0]} == 0 ]] || fail "detach failed"
	attached=""
	claim "the client reaches server 0 as before, through a gateway that only forwards" \
		in_ns c curl -sSf --max-time 10 "$url"
	claim "no program, no pin, no rule of RDDR's is left" \
		bash -c "! ls -d '$RDDR_PIN' && ! nsenter --net=/run/netns/${RDDR_T}g ip rule | grep -q 'lookup 133'"
}

direct_ports() {
	local port used
	used=$(ss -Htan | awk '{ print $4 }')
	ports=()
	for ((port = 18080; ${#ports[@]} < 4; port++)); do
		grep -q ":$port\$" <<<"$used" || ports+=("$port")
	done
}

direct_up() {
	step "Three servers on loopback that are to do the same work"
	mkdir -p "$RDDR_TMP/run" || fail "$RDDR_TMP cannot be made"
	direct_ports
	for i in 0 1 2; do
		start_nginx "$i" "$(page)" --ns - --listen 127.0.0.1 --port "${ports[i + 1]}" || fail "no nginx"
	done
	good "three nginx with the same page, on ports ${ports[1]}, ${ports[2]} and ${ports[3]}"
	url=http://127.0.0.1:${ports[0]}/
	client=-
	operator=host
	config="$RDDR_TMP/demo.yaml"
	RDDR_CONTROL="$RDDR_TMP/run/control.sock"
	cat >"$config" <<-END
		evidence: { file: $RDDR_TMP/run/evidence.jsonl }
		services:
		  shop:
		    direction: incoming
		    listen: "127.0.0.1:${ports[0]}"
		    instances:
		      - { name: live,    chainer: directed, remote: "127.0.0.1:${ports[1]}" }
		      - { name: twin,    chainer: directed, remote: "127.0.0.1:${ports[2]}" }
		      - { name: variant, chainer: directed, remote: "127.0.0.1:${ports[3]}" }
		    diff-class: bytes
		    enforcing: true
	END
}

direct_start() {
	local drop=()
	step "RDDR in the listening form: a program like any other"
	tell "The whole config:"
	indent <"$config"
	rddrd_args "$config"
	if ((EUID == 0)); then
		# The build may lie where nobody else can look.
		mkdir -p "$RDDR_TMP/bin/diff"
		cp "$RDDR_BUILD/rddrd" "$RDDR_TMP/bin/" && cp "$RDDR_BUILD"/diff/*.so "$RDDR_TMP/bin/diff/"
		chmod 755 "$RDDR_TMP" "$RDDR_TMP/bin" "$RDDR_TMP/bin/diff"
		chown nobody:nogroup "$RDDR_TMP/run"
		RDDRD[0]=$RDDR_TMP/bin/rddrd
		RDDRD=("${RDDRD[@]/#$RDDR_BUILD\/diff/$RDDR_TMP/bin/diff}")
		drop=(setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs)
		prompt host "setpriv --reuid nobody --bounding-set=-all --no-new-privs rddrd --config demo.yaml"
	else
		prompt host "rddrd --config demo.yaml"
	fi
	spawn rddrd - "${drop[@]}" "${RDDRD[@]}" || fail "rddrd does not start"
	_rddrd_up rddrd || fail "rddrd does not start"
	claim "it runs as an ordinary user without a single capability" \
		bash -c "(($EUID)) || { grep -q '^CapEff:\s*0*$' /proc/$(pid_of rddrd)/status && ! grep -q '^Uid:\s*0' /proc/$(pid_of rddrd)/status; }"
}

direct_proof() {
	tell "What the three servers logged, each in its own access.log:"
	for i in 0 1 2; do
		access_log "$i" | tail -n 1 | sed "s/^/server $i: /" | indent
		(($(access_log "$i" | wc -l) == 1)) || fail "server $i was not asked once"
	done
	good "one request of the client's, one at each of the three"
}

direct_end() {
	step "RDDR ends"
	stop rddrd || fail "rddrd did not end in order"
	claim "it ended in order" test ! -e "$RDDR_CONTROL"
}

# --- the story -------------------------------------------------------------------------------------------------------

ask() {
	prompt "$([[ $client == - ]] && echo host || echo client)" "curl $url"
	in_ns "$client" curl -sS --max-time 20 "$url" >"$RDDR_TMP/answer" 2>"$RDDR_TMP/curl.err"
	status=$?
	cat "$RDDR_TMP/answer" "$RDDR_TMP/curl.err" | indent
}

form=gateway
case ${1:-} in
"") ;;
--direct) form=direct ;;
*)
	echo "usage: tests/demo.sh [--direct]" >&2
	exit 2
	;;
esac

printf '%sRDDR%s: every request goes to all servers, an answer comes back only when they agree.\n' "$bold" "$off"
"${form}_up"
"${form}_start"

step "The client asks for a page"
ask
((status == 0)) || fail "no answer"
claim "the page arrived, the same that every server sent" test "$(<"$RDDR_TMP/answer")" == "$(page)"
"${form}_proof"

step "Server 2 is broken into: it now sells at another price"
set_page 2 "$(bad_page)"
prompt "server 2" "cat index.html"
printf '%s\n' "$(bad_page)" | indent
ask
((status != 0)) || fail "the client was given an answer"
claim "the client got a closed connection (curl's exit status is $status)" test "$status" -ne 0
claim "and not one byte in which the servers differ" bash -c "! grep -q -e 99 -e 40 '$RDDR_TMP/answer'"

step "What happened is on record"
wait_for "the evidence" 20 bash -c "'$RDDR_BUILD/rddrctl' --control '$RDDR_CONTROL' --json evidence | grep -q reference" || fail "no evidence"
prompt "$operator" "rddrctl evidence"
ctl evidence | indent
reference=$(ctl --json evidence | jq -r '.. | .reference? // empty' | head -n 1)
prompt "$operator" "rddrctl evidence $reference"
ctl evidence "$reference" | indent
claim "it names the one server that differs from the others that agree" \
	bash -c "'$RDDR_BUILD/rddrctl' --control '$RDDR_CONTROL' --json evidence '$reference' | jq -e '[.. | .minority? // empty] | .[0] | tostring | test(\"^(2|variant)$\")'"

step "Server 2 is mended, and the shop is open again"
set_page 2 "$(page)"
ask
claim "the page arrives" test "$(<"$RDDR_TMP/answer")" == "$(page)"
prompt "$operator" "rddrctl counters"
ctl counters | indent

"${form}_end"
printf '\n%sThat was RDDR.%s README.md says how to put it before a service of your own.\n' "$bold" "$off"
