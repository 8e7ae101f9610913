#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# 50,000 requests that nobody means ill with, to three applications at once, each with a filter pair: not one is denied. The servers close idle
# connections after one, two or three seconds, and visitors rest about as long.

bats_require_minimum_version 1.5.0
load lib
load apps/lib

setup() {
	apps_up
	"$APPS_ROOT/site/build.sh" "$RDDR_TMP/site" 30
}
teardown() { topology_down; }

@test "50,000 benign requests, parallel, with keep-alive: no denial" {
	local requests=$((50000 / RDDR_LOAD_SCALE)) bound=$((560 * RDDR_PATIENCE))
	site_nginx site-0 7001 "$RDDR_TMP/site" 1
	site_nginx site-1 7002 "$RDDR_TMP/site" 3
	site_apache site-2 7003 "$RDDR_TMP/site" 2
	start_node api-0 127.0.0.1 7011 api/node.js 127.0.0.1 7011 1000
	start_node api-1 127.0.0.1 7012 api/node.js 127.0.0.1 7012 3000
	spawn api-2 g python3 "$APPS_ROOT/api/python.py" 127.0.0.1 7013 2
	start_node notebook-0 127.0.0.1 7021 login/server.js 127.0.0.1 7021 2000
	start_node notebook-1 127.0.0.1 7022 login/server.js 127.0.0.1 7022 1000
	start_node notebook-2 127.0.0.1 7023 login/server.js 127.0.0.1 7023 3000
	wait_tcp g 127.0.0.1 7013
	rddr <<-END
		$(service site 7000 "$(grep -v '^ *#' "$APPS_ROOT/site/rules.yaml")"$'\nfilter: true' 7001 7002 7003)
		$(service api 7010 $'diff-class: json\nfilter: true\ndiff-params: { ignore-headers: [ Content-Length ] }' 7011 7012 7013)
		$(service notebook 7020 $'diff-class: http\nfilter: true\nnoise: { share: 50% }' 7021 7022 7023)
	END
	if ! in_ns g timeout -k 10 "$bound" node "$APPS_ROOT/load/load.js" "$requests" http://127.0.0.1:7000 "$RDDR_TMP/site" \
		http://127.0.0.1:7010 http://127.0.0.1:7020 >"$RDDR_TMP/load" 2>&1; then
		cat "$RDDR_TMP/load"
		ctl --json evidence | jq -c '.evidence[] | {service, reason, where, why, minority, request, seen: [.instances[] | {state, excerpt}]}'
		ctl --json counters | jq -c '.services[] | with_entries(select(.value != 0))'
		false
	fi
	cat "$RDDR_TMP/load"
	(($(awk '{ print $2 }' "$RDDR_TMP/load") >= requests))
	# Seldom, that is.
	(($(awk '{ print $4 * 100 }' "$RDDR_TMP/load") <= requests))
	untroubled site api notebook
}
