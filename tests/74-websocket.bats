#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# WebSockets through RDDR: one echo by three libraries. What follows the upgrade is compared as bytes.

bats_require_minimum_version 1.5.0
load lib
load apps/lib

setup() {
	apps_up
	start_node one 127.0.0.1 7001 websocket/server.js ws 127.0.0.1 7001
	start_node two 127.0.0.1 7002 websocket/server.js faye-websocket 127.0.0.1 7002
	start_node three 127.0.0.1 7003 websocket/server.js websocket 127.0.0.1 7003
}
teardown() { topology_down; }

# talk PORT CONNECTIONS [SPOILT]
talk() {
	local port=$1
	shift
	NODE_PATH="$APPS/node_modules" in_ns g timeout -k 10 "$((120 * RDDR_PATIENCE))" node "$APPS_ROOT/websocket/client.js" "ws://127.0.0.1:$port/" "$@" \
		>"$RDDR_TMP/talk" 2>&1 || { cat "$RDDR_TMP/talk"; ! alive rddrd || last_record; return 1; }
	grep -qx "all right" "$RDDR_TMP/talk"
}

# They say the same in other words.
RULES='diff-params: { ignore-headers: [ Origin, Sec-WebSocket-Origin ] }'

@test "the three echoes work by themselves" {
	for port in 7001 7002 7003; do talk "$port" 2; done
}

@test "messages of every kind come back, over eight connections at once" {
	rddr < <(service echo 7000 "diff-class: http"$'\n'"$RULES" 7001 7002 7003)
	talk 7000 1
	talk 7000 8
	untroubled echo
	[[ $(counter echo sessions) == 9 ]]
}

@test "a pair beside another" {
	stop two
	start_node two 127.0.0.1 7002 websocket/server.js ws 127.0.0.1 7002
	rddr < <(service echo 7000 $'diff-class: http\nfilter: true\n'"$RULES" 7001 7002 7003)
	talk 7000 4
	untroubled echo
}

@test "a message that comes back otherwise from one is not let out, and the connection is cut" {
	stop three
	start_node three 127.0.0.1 7003 websocket/server.js websocket 127.0.0.1 7003 "the password"
	rddr < <(service echo 7000 "diff-class: http"$'\n'"$RULES" 7001 7002 7003)
	talk 7000 1 "the password"
	run -1 grep "came back" "$RDDR_TMP/talk"
	(($(counter echo denied) == 1))
	last_record | jq -e '.reason == "divergence"'
}

@test "one that does not take the upgrade is stopped" {
	stop three
	start_nginx three --ns g --listen 127.0.0.1 --port 7003 --page "no WebSockets here"
	rddr < <(service echo 7000 "diff-class: http" 7001 7002 7003)
	fetch -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' \
		-o "$RDDR_TMP/page" -w '%{http_code}' http://127.0.0.1:7000/ >"$RDDR_TMP/code"
	[[ $(cat "$RDDR_TMP/code") == 500 ]]
	grep -q "Access denied" "$RDDR_TMP/page"
	[[ $(last_record | jq -r .where) == "the status" ]]
}
