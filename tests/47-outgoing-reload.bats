#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# A reload while three instances with pools of ten use one HTTP backend: it counts for the groups that begin behind it, and costs nobody a request.

bats_require_minimum_version 1.5.0
load lib
load lib-outgoing

setup() {
	topology_up 4
	: >"$RDDR_TMP/written"
}
teardown() { topology_down; }

# busy COUNT: so many requests, ten at a time, in the background; some of them are through when it returns.
busy() {
	spawn load c node "$HTTP_JS" drive "$(server4 0)" 8000 1000 "$1" 10
	wait_for "requests" 60 some_written
}
some_written() { (($(wc -l <"$RDDR_TMP/written") >= 20)); }
load_over() { ! alive load; }
# counts NAME: the outgoing service has counted one.
counts() { (($(counter back "$1") >= 1)); }
# none_gets_there: six new requests fail, and the backend hears nothing of them from us.
none_gets_there() {
	run drive 200 6 6
	echo "$output"
	[[ $output == *"good 0" ]]
	run ! grep -qE "^$(server4 0) 20[0-5] " "$RDDR_TMP/written"
}

@test "reloads in the midst of requests cost none of them, and each write arrives once" {
	local n=$((3000 / RDDR_LOAD_SCALE)) generation=1
	config
	begin
	busy "$n"
	while ! load_over && ((generation < 20)); do
		ctl reload
		generation=$((generation + 1))
	done
	wait_for "the end of the requests" 180 load_over
	tail -n 3 "$RDDR_TMP/load.log"
	grep -qx "good $n" "$RDDR_TMP/load.log"
	once 1000 "$n"
	((generation > 1))
	[[ $(ctl --json status | jq .generation) == "$generation" ]]
	[[ $(counter back denied) == 0 && $(counter front denied) == 0 && $(counter back strangers) == 0 ]]
}

@test "access that a reload takes away is gone for a service that is busy, too" {
	config
	begin
	busy 100000
	config $'gather: { partner: 20s }\naccess: [{ name: nobody, clients: elsewhere, action: allow }]'
	echo "zones: { elsewhere: 203.0.113.0/24 }" >>"$RDDR_TMP/rddr.yaml"
	ctl reload
	wait_for "a denial" 60 counts dial_denied
	stop load
	none_gets_there
	grep -q 'access: deny service=back' "$RDDR_TMP/rddrd.log"
}

@test "an instance that a reload replaced has no part in it any more, also not with connections that it has" {
	config "gather: { partner: 2s }"
	begin
	busy 100000
	sed -i "s/{ name: three, clients: .*/{ name: three, clients: 203.0.113.1 }/" "$RDDR_TMP/rddr.yaml"
	ctl reload
	wait_for "a stranger" 60 counts strangers
	# Its new ones are not steered: nobody's instance goes to the backend by itself.
	stop load
	none_gets_there
}
