# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Three instances of an application on the server hosts 0 to 2, each with a pool of ten connections, on one HTTP backend on host 3; clients reach
# the instances by RDDR, too. After lib, in a topology of four servers.

HTTP_JS="$RDDR_ROOT/tests/apps/outgoing/http.js"

# config [LINES [FRONT]]: of the outgoing service, and of the one in front. REPORTS=1: nothing is enforced.
# shellcheck disable=SC2001 # sed indents lines, which an expansion cannot
config() {
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		workers: 2
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		services:
		  front:
		    intercept: { address: $(server4 0), port: 8000, interface: eth-c }
		    instances:
		      - { name: one,   chainer: transparent, forge-addr: true }
		      - { name: two,   chainer: directed, remote: "$(server4 1):8000", forge-addr: true }
		      - { name: three, chainer: directed, remote: "$(server4 2):8000", forge-addr: true }
		    diff-class: http
		    enforcing: $([[ ${REPORTS:-} ]] && echo false || echo true)
		    deadlines: { connect: 30s, skew: 30s, idle: 120s }
		$(sed 's/^/    /' <<<"${2:-}")
		  back:
		    direction: outgoing
		    intercept: { address: [$(server4 3), "$(server6 3)"], port: 9000 }
		    instances:
		      - { name: one,   clients: [$(server4 0), "$(server6 0)"] }
		      - { name: two,   clients: [$(server4 1), "$(server6 1)"] }
		      - { name: three, clients: [$(server4 2), "$(server6 2)"] }
		    diff-class: http
		    enforcing: $([[ ${REPORTS:-} ]] && echo false || echo true)
		    deadlines: { connect: 30s, skew: 30s, idle: 120s }
		$(sed 's/^/    /' <<<"${1:-gather: { partner: 20s \}}")
	END
}

steered() { [[ $(ctl --json status | jq -r .steering.state) == attached ]]; }

# begin [HOW [HOW [HOW]]]: everything runs; how instances 0 to 2 behave: words that http.js knows, parted by blanks.
begin() {
	local i address=${BACKEND:-$(server4 3)} how=("$@")
	spawn backend s3 node "$HTTP_JS" backend :: 9000 "$RDDR_TMP/written"
	wait_tcp s3 :: 9000
	for i in 0 1 2; do
		# shellcheck disable=SC2086 # words
		spawn "app-$i" "s$i" node "$HTTP_JS" app 0.0.0.0 8000 "$address" 9000 10 ${how[i]:-}
		wait_tcp "s$i" 0.0.0.0 8000
	done
	attach
	start_rddrd "$RDDR_TMP/rddr.yaml"
	wait_for "steering" 20 steered
}

drive() { in_ns c node "$HTTP_JS" drive "$(server4 0)" 8000 "$@"; }
last() { ctl --json evidence --limit 1 | jq -r ".evidence[0] | $1"; }

# once FIRST COUNT [SOURCE]: each number was written once, with its value, and all from the source.
once() {
	local expected
	expected=$(seq "$1" $(($1 + $2 - 1)) | sed "s/.*/${3:-$(server4 0)} & value-&/" | LC_ALL=C sort)
	diff <(LC_ALL=C sort "$RDDR_TMP/written") - <<<"$expected" >"$RDDR_TMP/diff" || { say "$(head -n 10 "$RDDR_TMP/diff")"; return 1; }
}
