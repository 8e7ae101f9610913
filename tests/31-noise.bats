#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The filter pair: what it differs in is noise for all, in the form and the amount that it shows. Three real nginx give out a random token with each
# answer. The daemon listens by itself; no kernel programs are attached.

bats_require_minimum_version 1.5.0
load lib

setup() { topology_up 0; }
teardown() { topology_down; }

PORTS=([0]=7001 [1]=7002 [2]=7003)
NAMES=(first twin variant)

# serve I CONF: instance I, an nginx whose locations are CONF.
serve() { start_nginx "${NAMES[$1]}" --ns g --listen 127.0.0.1 --port "${PORTS[$1]}" --conf "$2"; }

# $request_id is 16 random bytes in hex.
# shellcheck disable=SC2016 # nginx's variables
USUAL='
	location = /token { add_header Set-Cookie "sid=$request_id; Path=/"; return 200 "<p id=\"t\">$request_id</p>\n"; }
	location = /bare { return 200 "$request_id"; }'

# rddr [NOISE]: the daemon.
rddr() {
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		services:
		  web:
		    listen: 127.0.0.1:7000
		    filter: true
		    noise: ${1:-"{ run: 256, share: 20% }"}
		    deadlines: { skew: 3s }
		    instances:
		      - { name: first, chainer: directed, remote: "127.0.0.1:${PORTS[0]}" }
		      - { name: twin, chainer: directed, remote: "127.0.0.1:${PORTS[1]}" }
		      - { name: variant, chainer: directed, remote: "127.0.0.1:${PORTS[2]}" }
	END
	start_rddrd "$RDDR_TMP/rddr.yaml"
}

get() { in_ns g curl -sS --max-time "$((60 * RDDR_PATIENCE))" "$@"; }

records() { ctl --json evidence | jq '.evidence | length'; }
more_records() { (($(records) > $1)); }

# denied PATH WHY: the answer is not let out whole, and the evidence says why.
denied() {
	local before
	before=$(records)
	run -0 bash -c '! "$@"' - nsenter --net="/run/netns/${RDDR_T}g" -- \
		curl -sS --max-time "$((60 * RDDR_PATIENCE))" "http://127.0.0.1:7000$1"
	wait_for "the evidence" 30 more_records "$before"
	ctl --json evidence | jq -c '.evidence[0] | {reason, why, minority}' | tee "$RDDR_TMP/why"
	grep -q "$2" "$RDDR_TMP/why"
}

@test "random tokens are noise, wherever they agree by chance" {
	local i n=$((400 / RDDR_LOAD_SCALE))
	for i in 0 1 2; do serve "$i" "$USUAL"; done
	rddr
	# One connection, then each its own.
	get "http://127.0.0.1:7000/token?[1-$n]" >"$RDDR_TMP/one"
	(($(grep -cxE '<p id="t">[0-9a-f]{32}</p>' "$RDDR_TMP/one") == n))
	get -H 'Connection: close' "http://127.0.0.1:7000/token?[1-$n]" >"$RDDR_TMP/each"
	(($(grep -cxE '<p id="t">[0-9a-f]{32}</p>' "$RDDR_TMP/each") == n))
	# Answers that end in noise go out whole too, with the connection left open.
	get -w '\n' "http://127.0.0.1:7000/bare?[1-$n]" >"$RDDR_TMP/bare"
	(($(grep -cxE '[0-9a-f]{32}' "$RDDR_TMP/bare") == n))
	(($(records) == 0))
	(($(counter web noise_bytes) >= n * (2 * 32 + 2 * 32 + 32) * 8 / 10))
	(($(counter web noise_over_budget) == 0))
}

@test "what differs outside the pair's noise is a divergence" {
	serve 0 "$USUAL"
	serve 1 "$USUAL"
	serve 2 "${USUAL/<\/p>/<\/P>}"
	rddr
	denied /token "outside the pair"
	[[ $(jq -r .minority "$RDDR_TMP/why") == variant ]]
	# That location alone.
	[[ $(get http://127.0.0.1:7000/bare) =~ ^[0-9a-f]{32}$ ]]
}

@test "what has not the form of the pair's noise is a divergence" {
	local long='zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz'
	serve 0 "$USUAL"
	serve 1 "$USUAL"
	# shellcheck disable=SC2016 # nginx's variable
	serve 2 "${USUAL//'$request_id'/$long}"
	rddr
	denied /token "form of the pair's noise there (lower-case hex)"
}

@test "noise has a budget: a run" {
	for i in 0 1 2; do serve "$i" "$USUAL"; done
	rddr '{ run: 16, share: 100% }'
	denied '/token' "past the noise budget"
	(($(counter web noise_over_budget) >= 1))
}

@test "noise has a budget: a share of the answer" {
	for i in 0 1 2; do serve "$i" "$USUAL"; done
	rddr '{ run: 256, share: 4% }'
	# 40 of at least 1024 bytes: one token fits, two do not.
	[[ $(get http://127.0.0.1:7000/bare) =~ ^[0-9a-f]{32}$ ]]
	denied '/token' "past the noise budget"
}

@test "another length is no noise" {
	serve 0 'location / { return 200 "12345\n"; }'
	serve 1 'location / { return 200 "123456\n"; }'
	serve 2 'location / { return 200 "12345\n"; }'
	rddr
	in_ns g bash -c 'exec 5<>/dev/tcp/127.0.0.1/7000; printf "GET / HTTP/1.0\r\n\r\n" >&5; cat <&5' >"$RDDR_TMP/got" 2>&1 || true
	run ! grep -q 123456 "$RDDR_TMP/got"
	wait_for "the evidence" 30 more_records 0
}

@test "the manual's example is a config, and says what a third may have" {
	# The display of rddr-bytes(7) that is a config, with the instances' ports as they are.
	awk '/^\.Bd/ { body = ""; next } /^\.Ed/ { if (body ~ /(^|\n)services:/) printf "%s", body; next } { body = body $0 "\n" }' \
		"$RDDR_ROOT/docs/rddr-bytes.7" >"$RDDR_TMP/manual.yaml"
	# Evidence would go to /var/log.
	echo "evidence: { file: $RDDR_TMP/evidence.jsonl }" >>"$RDDR_TMP/manual.yaml"
	grep -q "run: 64, share: 5%" "$RDDR_TMP/manual.yaml"
	local i id=(7f3a9c21 7f30be44 91c0d2ee)
	for i in 0 1 2; do
		start_nginx "${NAMES[$i]}" --ns g --listen 127.0.0.1 --port "900$((i + 1))" \
			--conf "location / { add_header Set-Cookie \"sid=${id[$i]}; Path=/\"; return 200 \"ok\n\"; }"
	done
	start_rddrd "$RDDR_TMP/manual.yaml"
	get -D - http://127.0.0.1:8080/ >"$RDDR_TMP/got"
	grep -q "^Set-Cookie: sid=7f3a9c21; Path=/" "$RDDR_TMP/got"
	[[ $(counter web noise_bytes) == 8 ]]
}

@test "a last word in which only the variant differs is a divergence, though the connection stays open" {
	serve 0 'location = /last { return 200 "word-aaaa"; }'
	serve 1 'location = /last { return 200 "word-aaaa"; }'
	serve 2 'location = /last { return 200 "word-aaab"; }'
	rddr
	denied /last '"reason":"divergence","why":"differs, and nothing followed.*"minority":"variant"'
	(($(counter web denied_late) == 0))
	(($(counter web idle_timeouts) == 0))
}
