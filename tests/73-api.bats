#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# One JSON API in three implementations: JavaScript, Python, and files served by nginx. They order keys, indent, escape and write numbers each in its own way.

bats_require_minimum_version 1.5.0
load lib
load apps/lib

setup() { apps_up; }
teardown() { topology_down; }

PATHS=(/api/items /api/items?tag=odd /api/items?tag=none /api/items/1 /api/items/2 /api/items/3 /api/items/12345678901234567890 /api/tags
	/api/items/4 /api/nothing)

start_javascript() { start_node "js-$1" 127.0.0.1 "$1" api/node.js 127.0.0.1 "$1"; }
# start_python PORT [SECONDS WRONG-PRICE]
start_python() {
	spawn "py-$1" g python3 "$APPS_ROOT/api/python.py" 127.0.0.1 "$@" || return
	wait_tcp g 127.0.0.1 "$1"
}

# start_files PORT FROM: nginx, with the answers of the server at port FROM as files.
# shellcheck disable=SC2016 # nginx's variables
start_files() {
	local path file
	mkdir -p "$RDDR_TMP/files/www/api/items"
	for path in "${PATHS[@]}"; do
		file=${path/\?tag=/-}.json
		fetch "http://127.0.0.1:$2$path" | sed 's/"request":"[^"]*"/"request":"none"/' >"$RDDR_TMP/files/www$file"
		! grep -q '"error"' "$RDDR_TMP/files/www$file" || rm "$RDDR_TMP/files/www$file"
	done
	start_nginx files --ns g --listen 127.0.0.1 --port "$1" --real-headers --conf '
		default_type application/json;
		types { }
		error_page 404 @missing;
		location = /api/items { if ($arg_tag) { rewrite .* /api/items-$arg_tag.json break; } rewrite .* /api/items.json break; }
		location / { try_files $uri.json =404; }
		location @missing { return 404 "{\"path\":\"$uri\", \"error\":\"not found\"}\n"; }'
}

RULES='diff-params: { fields: [ { pointer: /request, action: ignore } ], unordered: [ /tags ], ignore-headers: [ ETag, Last-Modified, Accept-Ranges, Content-Length ] }'

three() {
	start_javascript 7001
	start_python 7002 "$@"
	start_files 7003 7001
}

# get PATH [ARGS...]: the page in $RDDR_TMP/page; prints the status.
get() { fetch -o "$RDDR_TMP/page" -D "$RDDR_TMP/head" -w '%{http_code}' "http://127.0.0.1:7000$1" "${@:2}"; }

# alike SERVICE: every path, alone and over one connection, says what the first instance says.
alike() {
	local path
	for path in "${PATHS[@]}"; do
		get "$path" >/dev/null
		# All but the request's own name.
		fetch "http://127.0.0.1:7001$path" | sed 's/"request":"[^"]*"//' >"$RDDR_TMP/expected"
		sed 's/"request":"[^"]*"//' "$RDDR_TMP/page" | diff "$RDDR_TMP/expected" - || { last_record; return 1; }
		if [[ $(get "$path" -I) != $(fetch -o "$RDDR_TMP/page" -w '%{http_code}' "http://127.0.0.1:7001$path") ]]; then
			say "HEAD $path: $(cat "$RDDR_TMP/head"; last_record)"
			return 1
		fi
	done
	fetch "${PATHS[@]/#/http://127.0.0.1:7000}" >"$RDDR_TMP/all"
	(($(grep -o '"id":12345678901234567890,' "$RDDR_TMP/all" | wc -l) == 3))
	untroubled "$1"
}

@test "three implementations agree, with a rule for what is each one's own" {
	local class
	three
	for class in json http; do
		rddr < <(service api 7000 "diff-class: $class"$'\n'"$RULES" 7001 7002 7003)
		# The order of tags is no matter at /api/tags, but it is where the document has it.
		sed -i 's|unordered: \[ /tags \]|unordered: [ "", /tags ]|' "$RDDR_TMP/rddr.yaml"
		ctl reload
		alike api
		stop rddrd
	done
}

@test "a pair of one implementation beside another: no rule is needed for what the pair shows" {
	start_javascript 7001
	start_javascript 7002
	start_python 7003
	rddr < <(service api 7000 $'diff-class: json\nfilter: true\ndiff-params: { unordered: [ "" ], ignore-headers: [ Content-Length ] }' 7001 7002 7003)
	alike api
	[[ $(ctl --json noise api | jq -r '.. | strings | select(. == "json:/request")' | head -n 1) == json:/request ]]
}

@test "one wrong field: a denial in JSON, and its pointer in the evidence" {
	three 30 11.99
	rddr < <(service api 7000 $'diff-class: json\n'"$RULES" 7001 7002 7003)
	[[ $(get /api/items/1) == 200 ]]
	[[ $(get /api/items/2 -H 'Accept: application/json') == 500 ]]
	grep -qi '^content-type: application/json' "$RDDR_TMP/head"
	[[ $(jq -r .reference "$RDDR_TMP/page") == $(ctl --json evidence --limit 1 | jq -r '.evidence[0].reference') ]]
	jq -e '.error == "Access denied"' "$RDDR_TMP/page"
	run ! grep -q 12.00 "$RDDR_TMP/page"
	[[ $(last_record | jq -r .where) == /price ]]
	[[ $(get /api/items) == 500 ]]
	grep -qi '^content-type: text/html' "$RDDR_TMP/head"
	[[ $(last_record | jq -r .where) == /items/1/price ]]
	(($(counter api denied) == 2))
}

@test "one implementation that is down, or answers with another status, is stopped as well" {
	three
	rddr < <(service api 7000 $'diff-class: json\n'"$RULES" 7001 7002 7003)
	[[ $(get /api/items/3) == 200 ]]
	rm "$RDDR_TMP/files/www/api/items/3.json"
	[[ $(get /api/items/3) == 500 ]]
	[[ $(last_record | jq -r .where) == "the status" ]]
	stop py-7002
	[[ $(get /api/items/1) == 500 ]]
	[[ $(last_record | jq -r .reason) == missing ]]
}
