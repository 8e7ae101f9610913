#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Outgoing services: three instances dial one backend, which they believe to reach; it gets one connection, with what all three say.

bats_require_minimum_version 1.5.0
load lib
load lib-tls

LINES_JS="$RDDR_ROOT/tests/apps/outgoing/lines.js"

# Instances on the server hosts 0 to 2, the backend on host 3.
setup() {
	topology_up 4
	BACKEND4=$(server4 3)
	BACKEND6=$(server6 3)
}
teardown() { topology_down; }

# config [LINES]: one service for each family.
# shellcheck disable=SC2001 # sed indents lines, which an expansion cannot
config() {
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		workers: 2
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		services:
		  lines4:
		    direction: outgoing
		    intercept: { address: $BACKEND4, port: 7000 }
		    instances:
		      - { name: one,   clients: $(server4 0) }
		      - { name: two,   clients: [$(server4 1)] }
		      - { name: three, clients: 10.0.4.0/24 }
		    deadlines: { connect: 20s, skew: 20s, idle: 60s }
		$(sed 's/^/    /' <<<"${1:-}")
		  lines6:
		    direction: outgoing
		    intercept: { address: "$BACKEND6", port: 7000 }
		    instances:
		      - { name: one,   clients: "$(server6 0)" }
		      - { name: two,   clients: "$(server6 1)" }
		      - { name: three, clients: "fd00:0:0:4::/64" }
		    source: two
		    deadlines: { connect: 20s, skew: 20s, idle: 60s }
		$(sed 's/^/    /' <<<"${1:-}")
	END
}

steered() { [[ $(ctl --json status | jq -r .steering.state) == attached ]]; }
begin() {
	attach
	start_rddrd "$RDDR_TMP/rddr.yaml"
	wait_for "steering" 20 steered
}

# backend [GREETING]
backend() {
	: >"$RDDR_TMP/written"
	spawn backend s3 node "$LINES_JS" serve :: 7000 "$RDDR_TMP/written" "$@"
	wait_tcp s3 :: 7000
}
written() { sed 's/^::ffff://' "$RDDR_TMP/written"; }

# instance I ADDRESS LINE...: in the background; what it is answered is in the log of client-I.
instance() {
	local i=$1 address=$2
	shift 2
	rm -f "$RDDR_TMP/client-$i.log"
	spawn "client-$i" "s$i" node "$LINES_JS" write "$address" 7000 "$@"
}
_ended() { ! alive client-0 && ! alive client-1 && ! alive client-2; }
ended() { wait_for "the instances" 60 _ended; }
# said I TEXT: all that instance I was answered.
said() { [[ $(log_of "client-$1") == "$2" ]] || { say "instance $1 was answered: $(log_of "client-$1")"; return 1; }; }
all_said() { said 0 "$1" && said 1 "$1" && said 2 "$1"; }
records() { ctl --json evidence --limit 100 | jq '.evidence | length'; }
last() { ctl --json evidence --limit 1 | jq -r ".evidence[0] | $1"; }

@test "three connections become one, IPv4 and IPv6, its source forged; every line is written once, the answers go to all" {
	config
	backend
	begin
	for i in 0 1 2; do instance "$i" "$BACKEND4" first second; done
	ended
	all_said $'got first\ngot second'
	[[ $(written) == "$(server4 0) first"$'\n'"$(server4 0) second" ]]
	: >"$RDDR_TMP/written"
	for i in 2 0 1; do instance "$i" "$BACKEND6" sixth; done
	ended
	all_said "got sixth"
	# source: two
	[[ $(written) == "$(server6 1) sixth" ]]
	[[ $(counter lines4 groups) == 1 && $(counter lines6 groups) == 1 ]]
	[[ $(counter lines4 denied) == 0 && $(counter lines6 denied) == 0 ]]

	# Whoever is no instance is not steered at all, and the instances' connections to elsewhere are not, either.
	: >"$RDDR_TMP/written"
	[[ $(in_ns c node "$LINES_JS" write "$BACKEND4" 7000 mine) == "got mine" ]]
	[[ $(written) == "$CLIENT4 mine" ]]
	[[ $(counter lines4 strangers) == 0 ]]
}

@test "where the backend speaks first, connections are paired in their order" {
	config "gather: { first: 300ms }"
	backend "welcome"
	begin
	for i in 0 1 2; do instance "$i" "$BACKEND4" - hello; done
	ended
	all_said $'welcome\ngot hello'
	[[ $(written) == "$(server4 0) hello" ]]
	[[ $(counter lines4 groups) == 1 && $(counter lines4 denied) == 0 ]]
}

@test "what one instance says besides is stopped before the backend, with a record; in report mode instance 0's goes on" {
	config "gather: { partner: 1s }"
	backend
	begin
	instance 0 "$BACKEND4" "keep the house"
	instance 1 "$BACKEND4" "keep the house"
	instance 2 "$BACKEND4" "sell the house"
	ended
	for i in 0 1 2; do grep -q "error" "$RDDR_TMP/client-$i.log"; done
	[[ $(counter lines4 denied_divergence) == 1 ]]
	[[ $(last '.minority') == three && $(last '.instances[2].excerpt') == *sell* ]]

	# Later, on a connection that agreed.
	instance 0 "$BACKEND4" same "keep it"
	instance 1 "$BACKEND4" same "sell it"
	instance 2 "$BACKEND4" same "keep it"
	ended
	[[ $(last '.minority') == two ]]
	run ! grep -qE 'house|keep|sell' "$RDDR_TMP/written"
	[[ $(grep -c ' same$' "$RDDR_TMP/written") == 1 ]]

	sed -i 's/^    direction: outgoing/&\n    enforcing: false/' "$RDDR_TMP/rddr.yaml"
	ctl reload
	: >"$RDDR_TMP/written"
	instance 0 "$BACKEND4" same "keep it" after
	instance 1 "$BACKEND4" same "keep it" after
	instance 2 "$BACKEND4" same "sell it" after
	ended
	said 0 $'got same\ngot keep it\ngot after'
	said 1 $'got same\ngot keep it\ngot after'
	[[ $(written) == "$(server4 0) same"$'\n'"$(server4 0) keep it"$'\n'"$(server4 0) after" ]]
	(($(counter lines4 reported) >= 1))
	# Nobody says it with instance 0.
	instance 0 "$BACKEND4" alone
	wait_for "instance 0" 30 grep -q "got alone" "$RDDR_TMP/client-0.log"
	(($(counter lines4 partners_missing) >= 2))
}

@test "what finds no partner is refused after the deadline, and recorded; so is what comes from nobody's instance" {
	config "gather: { partner: 500ms }"
	backend
	begin
	instance 1 "$BACKEND4" "on my own"
	wait_for "the refusal" 30 grep -q "error ECONNRESET" "$RDDR_TMP/client-1.log"
	[[ $(counter lines4 partners_missing) == 1 && $(counter lines4 denied_missing) == 1 ]]
	[[ $(last .reason) == missing && $(last '.why') == *"missing one, three"* && $(last '.instances[1].excerpt') == *"on my own"* ]]
	[[ ! -s $RDDR_TMP/written ]]
	# No backend: what the instances see is what they would see without us, but for a word of it.
	stop backend
	for i in 0 1 2; do instance "$i" "$BACKEND4" anybody; done
	ended
	[[ $(counter lines4 dial_refused) == 1 ]]
	for i in 0 1 2; do grep -q "error ECONNRESET" "$RDDR_TMP/client-$i.log"; done
	[[ $(ctl --json status | jq .sessions) == 0 ]]
}

@test "the original's form: one port for each variant" {
	: >"$RDDR_TMP/written"
	spawn backend g node "$LINES_JS" serve 127.0.0.1 7100 "$RDDR_TMP/written"
	wait_tcp g 127.0.0.1 7100
	cat >"$RDDR_TMP/original.yaml" <<-END
		addrlist: ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"]
		filter: true
		incoming-proxy: { host: 127.0.0.1, port: 7000, protocol: tcp, diff-class: bytes }
		outgoing-proxies:
		  "127.0.0.1:7100": { host: 127.0.0.1, ports: [7011, 7012, 7013], protocol: tcp, diff-class: bytes, enforcing: True }
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		workers: 2
	END
	start_rddrd "$RDDR_TMP/original.yaml"
	for round in 1 2 3 4 5; do
		for i in 0 1 2; do
			rm -f "$RDDR_TMP/client-$i.log"
			spawn "client-$i" g node "$LINES_JS" write 127.0.0.1 "701$((i + 1))" "round $round" more
		done
		ended
		all_said "got round $round"$'\ngot more'
	done
	[[ $(wc -l <"$RDDR_TMP/written") == 10 ]]
	[[ $(counter outgoing-127.0.0.1-7100 groups) == 5 && $(counter outgoing-127.0.0.1-7100 denied) == 0 ]]
}

@test "over TLS on both sides, in the listening form; who does not get through the handshake is nobody's partner" {
	pki
	: >"$RDDR_TMP/written"
	spawn backend g env TLS_CHAIN="$PKI/inst.pem" TLS_KEY="$PKI/inst.key" node "$LINES_JS" serve 127.0.0.1 7100 "$RDDR_TMP/written"
	wait_tcp g 127.0.0.1 7100
	cat >"$RDDR_TMP/tls.yaml" <<-END
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		workers: 2
		services:
		  lines:
		    direction: outgoing
		    instances: [ { listen: "127.0.0.1:7011" }, { listen: "127.0.0.1:7012" }, { listen: "127.0.0.1:7013" } ]
		    backend: { chainer: directed, remote: "127.0.0.1:7100" }
		    tls:
		      lone: { ca: $PKI/ca.pem, server-name: inst.test }
		      many: { certificates: { chain: $PKI/shop.pem, key: $PKI/shop.key } }
		    deadlines: { connect: 10s, skew: 20s, idle: 60s }
		    gather: { partner: 10s }
	END
	start_rddrd "$RDDR_TMP/tls.yaml"
	for i in 0 1 2; do
		spawn "client-$i" g env TLS_CA="$PKI/ca.pem" TLS_NAME=shop.test node "$LINES_JS" write 127.0.0.1 "701$((i + 1))" first second
	done
	ended
	all_said $'got first\ngot second'
	[[ $(written) == "127.0.0.1 first"$'\n'"127.0.0.1 second" ]]
	[[ $(counter lines tls_handshakes) == 4 && $(counter lines denied) == 0 ]]
	# In clear.
	rm -f "$RDDR_TMP/client-0.log"
	spawn client-0 g node "$LINES_JS" write 127.0.0.1 7011 clear
	wait_for "the end" 30 grep -q "error" "$RDDR_TMP/client-0.log"
	(($(counter lines tls_failed) >= 1))
	[[ $(counter lines groups) == 1 ]]
}
