# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# For the tests of what the operator sees: a daemon that listens by itself on the gateway, with three real servers behind it.

SHOP="http://$GATEWAY4:8080"

# shop_config [TOP-LEVEL LINES]: writes $RDDR_TMP/rddr.yaml.
shop_config() {
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		workers: 2
		${1:-evidence: { file: $RDDR_TMP/evidence.jsonl \}}
		services:
		  shop:
		    listen: $GATEWAY4:8080
		    instances:
		      - { name: live, chainer: directed, remote: "$(server4 0):80" }
		      - { name: twin, chainer: directed, remote: "$(server4 1):80" }
		      - { name: variant, chainer: directed, remote: "$(server4 2):80" }
		    diff-class: bytes
	END
}

# shop_up [TOP-LEVEL LINES]: the topology, three servers with the same page, and the daemon.
shop_up() {
	local i
	topology_up 3 || return
	for i in 0 1 2; do
		start_nginx "$i" --page "page of the house" || return
	done
	shop_config "$@"
	start_rddrd "$RDDR_TMP/rddr.yaml"
}

get() { in_ns c curl -sS --max-time "$((60 * RDDR_PATIENCE))" "$SHOP/$*"; }

# agreed: a request whose answers agree. denied: one whose answers do not, and of which not all arrives.
agreed() { [[ $(get "$@") == "page of the house" ]]; }
denied() {
	local answer
	set_page 1 "another page, of its own"
	answer=$(get "$@" 2>/dev/null) || true
	set_page 1 "page of the house"
	[[ $answer != *another* && $answer != *house* ]]
}

# hold_session NAME: a connection that stays until NAME is stopped.
hold_session() {
	# A FIFO that is opened both ways never ends.
	mkfifo "$RDDR_TMP/$1.fifo"
	# shellcheck disable=SC2016 # for the inner shell
	spawn "$1" c bash -c 'exec "$@" <>"$0"' "$RDDR_TMP/$1.fifo" socat - "TCP:$GATEWAY4:8080"
}

sessions_are() { [[ $(ctl --json sessions | jq '.sessions | length') == "$1" ]]; }
