#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2001 # sed indents lines, which an expansion cannot
# diff-class http and json through a real gateway, with three real nginx: exchanges of every kind, what differs is denied with a page, what can
# be read in two ways reaches no server.

load lib

setup() {
	topology_up
	for i in 0 1 2; do
		start_web "$i"
	done
	http_config "$RDDR_TMP/rddr.yaml"
}

teardown() { topology_down; }

# start_web I [ARGS]: nginx with its own idea of Date and Server, compression, uploads, and answers that show what it was asked.
start_web() {
	local i=$1
	shift
	mkdir -p "$RDDR_TMP/s$i/up"
	start_nginx "$i" --page "the page" --real-headers --http '
		gzip on; gzip_min_length 1; gzip_types *;
		add_header Last-Modified "" always; etag off; absolute_redirect off;' --conf "
		location /up/ { root $RDDR_TMP/s$i; dav_methods PUT DELETE; }
		location = /echo { default_type text/plain; return 200 \"\$request_method \$request_uri enc=\$http_accept_encoding x=\$http_x\n\"; }
		location = /tags { etag on; add_header ETag '\"v1\"' always; if (\$http_if_none_match = '\"v1\"') { return 304; } return 200 tagged; }
		location = /json { default_type application/json; alias $RDDR_TMP/s$i/www/doc.json; }
		location = /moved { return 302 /echo; }" "$@"
	seq 1 20000 >"$RDDR_TMP/s$i/www/big.txt"
	printf '{"a": 1, "b": [1, 2]}' >"$RDDR_TMP/s$i/www/doc.json"
}

# http_config FILE [CLASS] [SERVICE LINES]
http_config() {
	cat >"$1" <<-END
		workers: 2
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		services:
		  web:
		    intercept: { address: 10.0.2.2, port: 80, interface: eth-c }
		    diff-class: ${2:-http}
		    instances:
		      - { name: live,    chainer: transparent, forge-addr: true }
		      - { name: twin,    chainer: directed, remote: "10.0.3.2:80", forge-addr: true }
		      - { name: variant, chainer: directed, remote: "10.0.4.2:80", forge-addr: true }
		    deadlines: { connect: 10s, skew: 10s, idle: 60s }
		$(sed 's/^/    /' <<<"${3:-}")
	END
}

begin() {
	attach
	start_rddrd "$RDDR_TMP/rddr.yaml"
	wait_for "steering" 20 steered
}

steered() { [[ $(ctl --json status | jq -r .steering.state) == attached ]]; }
get() { in_ns c curl -sS --max-time 20 "$@"; }
U=http://10.0.2.2
requests_at() { wc -l <"$RDDR_TMP/s$1/access.log"; }
each_saw() {
	for i in 0 1 2; do
		[[ $(requests_at "$i") == "$1" ]] || return 1
	done
}
last_evidence() { ctl --json evidence --limit 1 | jq -r ".evidence[0].$1"; }

# raw BYTES: one connection, alone, on which our side stays open; what comes back until the other side closes.
raw() { printf '%b' "$1" | in_ns c timeout 30 socat -t 20 - TCP:10.0.2.2:80,shut-none; }

@test "exchanges of every kind agree: keep-alive, HEAD, 304, HTTP/1.0, redirects, not found, big ones, compressed ones" {
	begin
	[[ $(get $U/) == "the page" ]]
	run get $U/ $U/echo $U/big.txt -o "$RDDR_TMP/a" -o "$RDDR_TMP/b" -o "$RDDR_TMP/c" -w '%{num_connects} '
	[[ $output == "1 0 0 " ]]
	cmp "$RDDR_TMP/c" "$RDDR_TMP/s0/www/big.txt"
	# Instances are asked for no coding, whatever the client would take.
	[[ $(get --compressed $U/echo) == "GET /echo enc=identity x=" ]]
	[[ $(get -I $U/big.txt | tr -d '\r' | grep -c '^Content-Length: 108894$') == 1 ]]
	[[ $(get -I $U/) == "HTTP/1.1 200 OK"* ]]
	[[ $(get -o "$RDDR_TMP/a" -w '%{http_code}' -H 'If-None-Match: "v1"' $U/tags) == 304 ]]
	[[ $(get -o "$RDDR_TMP/a" -w '%{http_code}' $U/tags) == 200 ]]
	[[ $(get -0 $U/echo) == "GET /echo enc= x=" ]]
	[[ $(get -L $U/moved) == "GET /echo enc= x=" ]]
	[[ $(get -o "$RDDR_TMP/a" -w '%{http_code}' $U/nothing) == 404 ]]
	[[ $(get -X OPTIONS -o "$RDDR_TMP/a" -w '%{http_code}' $U/) == 405 ]]
	[[ $(counter web denied) == 0 ]]
}

@test "uploads, with a length, with 100-continue, and in chunks, arrive whole at every server" {
	begin
	head -c 3000000 /dev/urandom >"$RDDR_TMP/file"
	[[ $(get -T "$RDDR_TMP/file" -H 'Expect:' -o "$RDDR_TMP/a" -w '%{http_code}' $U/up/plain) == 201 ]]
	[[ $(get -T "$RDDR_TMP/file" -H 'Expect: 100-continue' --expect100-timeout 15 -o "$RDDR_TMP/a" -w '%{http_code}' $U/up/asked) == 201 ]]
	[[ $(get -T - -H 'Expect:' -o "$RDDR_TMP/a" -w '%{http_code}' $U/up/chunks <"$RDDR_TMP/file") == 201 ]]
	[[ $(get -T - -H 'Expect: 100-continue' --expect100-timeout 15 -o "$RDDR_TMP/a" -w '%{http_code}' $U/up/both <"$RDDR_TMP/file") == 201 ]]
	for i in 0 1 2; do
		for name in plain asked chunks both; do
			cmp "$RDDR_TMP/file" "$RDDR_TMP/s$i/up/$name"
		done
	done
	[[ $(counter web denied) == 0 ]]
}

@test "uploads in chunks pass where limits.buffer is smaller than what is checked of them ahead" {
	http_config "$RDDR_TMP/rddr.yaml" http 'limits: { buffer: 32KiB }'
	begin
	head -c 204800 /dev/urandom >"$RDDR_TMP/file"
	[[ $(get -T - -H 'Expect:' -o "$RDDR_TMP/a" -w '%{http_code}' $U/up/chunks <"$RDDR_TMP/file") == 201 ]]
	[[ $(get -T - -H 'Expect: 100-continue' --expect100-timeout 15 -o "$RDDR_TMP/a" -w '%{http_code}' $U/up/both <"$RDDR_TMP/file") == 201 ]]
	for i in 0 1 2; do
		cmp "$RDDR_TMP/file" "$RDDR_TMP/s$i/up/chunks"
		cmp "$RDDR_TMP/file" "$RDDR_TMP/s$i/up/both"
	done
	[[ $(counter web denied) == 0 ]]
}

@test "pipelined requests get their answers in order, each its own" {
	begin
	run raw 'GET /echo HTTP/1.1\r\nHost: x\r\nX: 1\r\n\r\nHEAD /echo HTTP/1.1\r\nHost: x\r\nX: 2\r\n\r\nPUT /echo HTTP/1.1\r\nHost: x\r\nX: 3\r\nContent-Length: 5\r\n\r\nhelloGET /echo HTTP/1.1\r\nHost: x\r\nX: 4\r\nConnection: close\r\n\r\n'
	[[ $(grep -o 'x=[0-9]' <<<"$output" | tr -d '\n') == x=1x=3x=4 ]]
	[[ $(grep -c '^HTTP/1.1 200 OK' <<<"$output") == 4 ]]
	[[ $(grep -c '^Connection: close' <<<"$output") == 1 ]]
	# What follows the last one is for nobody.
	run raw 'GET /echo HTTP/1.1\r\nHost: x\r\nX: 5\r\nConnection: close\r\n\r\nGET /echo HTTP/1.1\r\nHost: x\r\nX: 6\r\n\r\n'
	[[ $output == *x=5* && $output != *x=6* ]]
	wait_for "the requests" 20 each_saw 5
	[[ $(counter web denied) == 0 ]]
}

# In bytes, alone on a connection, and none of it at a server.
@test "what servers could read differently is answered 400 and reaches none" {
	local n=0 case
	begin
	while IFS= read -r case; do
		[[ -n $case ]] || continue
		run raw "$case"
		if [[ $output != "HTTP/1.1 400 Bad Request"* ]]; then
			say "not refused: $case: $output"
			return 1
		fi
		n=$((n + 1))
	done <<-'END'
		POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello
		POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello
		POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello
		POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello
		POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello
		POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello
		POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\nhello
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nX: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n
		POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n
		GET / HTTP/1.1\r\nHost: a\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n
		GET / HTTP/1.1\nHost: a\n\n
		GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n
		GET / HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n
		GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n
		GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n
		GET  / HTTP/1.1\r\nHost: a\r\n\r\n
		GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n
		GET / HTTP/1.1 \r\nHost: a\r\n\r\n
		\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n
		GET / HTTP/1.1\r\n\r\n
		GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n
		GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n
		GET / HTTP/1.2\r\nHost: a\r\n\r\n
		PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;\nx\r\nhello\r\n0\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloo\r\n0\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00000000000000000\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0x0\r\n\r\n
		GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Host\r\n\r\n
		GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: 200-ok\r\nContent-Length: 5\r\n\r\nhello
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked \r\n\r\n0\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n
		POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t5\r\n\r\nhello
		POST / HTTP/1.1\r\nHost: a\r\nContent-Length:  5\r\n\r\nhello
		POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 \r\n\r\nhello
		GET / HTTP/1.1\r\nHost:\ta\r\n\r\n
		GET / HTTP/1.1\r\nHost: a\r\nConnection:\tclose\r\n\r\n
		GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade:\twebsocket\r\n\r\n
		\x16\x03\x01\x02\x00\x01
	END
	((n == 54))
	each_saw 0
	[[ $(counter web denied_rejected) == 54 && $(counter web plugin_rejected) == 54 && $(counter web denied) == 54 ]]
	# What was asked before a bad one still gets its answer.
	run raw 'GET /echo HTTP/1.1\r\nHost: x\r\nX: 1\r\n\r\nGET /echo HTTP/1.1\r\nHost : x\r\n\r\n'
	[[ $output == *x=1*"HTTP/1.1 400 Bad Request"* ]]
	wait_for "one request" 20 each_saw 1
}

@test "a page that differs is denied with a page that holds the reference of the evidence; JSON for those who accept it" {
	local names=(live twin variant) reference
	begin
	for i in 0 1 2; do
		set_page "$i" "another page"
		run get -i $U/
		[[ $output == "HTTP/1.1 500 Internal Server Error"*"Access denied"*"<svg"* && $output != *"another page"* ]]
		[[ $(last_evidence minority) == "${names[i]}" && $(last_evidence where) == "line 1" ]]
		reference=$(last_evidence reference)
		[[ -n $reference && $output == *"<code>$reference</code>"* ]]
		run get -H 'Accept: application/json' $U/
		[[ $(jq -r .reference <<<"$output") == "$(last_evidence reference)" ]]
		run get -H 'Accept: text/html;q=0.1' -H 'Accept: application/vnd.api+json' $U/
		[[ $(jq -r .reference <<<"$output") == "$(last_evidence reference)" ]]
		run get -I $U/
		[[ $output == "HTTP/1.1 500"* && $output != *"<svg"* ]]
		set_page "$i" "the page"
		[[ $(get $U/) == "the page" ]]
	done
}

@test "a status, a header, a cookie that differ are named; Date and Server are not compared" {
	begin
	stop_nginx 2
	start_web 2 --conf 'location = /echo { default_type text/plain; add_header X-Mode debug; return 200 "GET /echo enc= x=\n"; } location = /moved { return 301 /echo; }'
	run get -o "$RDDR_TMP/a" -w '%{http_code}' $U/echo
	[[ $output == 500 && $(last_evidence where) == "header X-Mode" ]]
	run get -o "$RDDR_TMP/a" -w '%{http_code}' $U/moved
	[[ $output == 500 && $(last_evidence where) == "the status" && $(last_evidence why) == "301, where 302 was expected" ]]
	[[ $(get $U/) == "the page" ]]
}

@test "what is not compared has its form and goes out only when all have it; names are spelled as others spell them" {
	local head
	stop_nginx 0
	start_web 0 --conf "
		location = /alone { add_header X-Request-Id secret-1; add_header Age 7; return 204; }
		location = /long { add_header X-Request-Id \$arg_x\$arg_x\$arg_x; return 204; }
		location = /age { add_header Age U0VDUkVU; return 204; }
		location = /case { add_header X-SeCrEt 1; return 204; }
		location = /both { add_header X-Request-Id zero; return 204; }"
	for i in 1 2; do
		stop_nginx "$i"
		start_web "$i" --conf "
			location = /alone { return 204; }
			location = /long { return 204; }
			location = /age { return 204; }
			location = /case { add_header X-Secret 1; return 204; }
			location = /both { add_header X-Request-Id other; return 204; }"
	done
	begin
	head=$(get -i $U/alone | tr -d '\r')
	[[ $head == "HTTP/1.1 204"* && $head != *secret-1* && $head != *Age* ]]
	[[ $head == *$'\nDate: '*GMT* && $head == *$'\nServer: nginx'* ]]
	[[ $(counter web plugin_headers_dropped) == 2 ]]
	[[ $(get -i $U/both | tr -d '\r') == *$'\nX-Request-Id: zero'* ]]
	[[ $(get -i $U/case | tr -d '\r') == *$'\nX-Secret: 1'* ]]
	[[ $(counter web denied) == 0 ]]
	run get -o "$RDDR_TMP/a" -w '%{http_code}' $U/age
	[[ $output == 500 && $(last_evidence where) == "header Age" && $(last_evidence why) == *"not a number"* ]]
	run get -o "$RDDR_TMP/a" -w '%{http_code}' "$U/long?x=$(printf 'a%.0s' {1..60})"
	[[ $output == 500 && $(last_evidence where) == "header X-Request-Id" && $(last_evidence why) == *"not a token"* ]]
}

@test "an answer that is denied when some of it is out is cut, never whole" {
	begin
	sed -i 's/^19999$/xxxxx/' "$RDDR_TMP/s1/www/big.txt"
	run get -o "$RDDR_TMP/a" $U/big.txt
	((status == 18 || status == 56))
	[[ $(last_evidence minority) == twin && $(last_evidence why) == *xxxxx* ]]
	[[ ! -e $RDDR_TMP/a || $(stat -c %s "$RDDR_TMP/a") -lt 108894 ]]
	[[ ! -e $RDDR_TMP/a || $(grep -c xxxxx "$RDDR_TMP/a") == 0 ]]
}

@test "servers that close idle connections at different times are dialled again" {
	stop_nginx 1
	start_web 1 --keepalive 1
	begin
	# Three seconds between two requests: the twin has closed by then, the others have not.
	run get --max-time 60 --rate 20/m $U/echo $U/echo $U/echo -w '%{num_connects} '
	[[ $(tr -d '\n' <<<"$output") == "GET /echo enc= x=1 GET /echo enc= x=0 GET /echo enc= x=0 " ]]
	(($(counter web redials) >= 2))
	[[ $(counter web denied) == 0 && $(counter web sessions) == 1 ]]
}

@test "a server that says it closes is not asked again on that connection; the client keeps its own" {
	stop_nginx 2
	start_web 2 --keepalive 0
	begin
	run get $U/echo $U/echo $U/echo -w '%{num_connects} '
	[[ $(tr -d '\n' <<<"$output") == "GET /echo enc= x=1 GET /echo enc= x=0 GET /echo enc= x=0 " ]]
	[[ $(counter web denied) == 0 && $(counter web redials) == 2 ]]
}

@test "answers in gzip and in chunks: decoded, compared, and sent on without the coding" {
	http_config "$RDDR_TMP/rddr.yaml" http "diff-params: { accept-encoding: pass, ignore-headers: [Accept-Ranges] }"
	begin
	stop_nginx 1
	start_web 1 --http 'etag off; add_header Last-Modified "" always; absolute_redirect off;'
	run get --compressed -o "$RDDR_TMP/a" -D "$RDDR_TMP/head" $U/big.txt
	cmp "$RDDR_TMP/a" "$RDDR_TMP/s0/www/big.txt"
	grep -qi '^transfer-encoding: chunked' "$RDDR_TMP/head"
	[[ $(grep -ci '^content-encoding' "$RDDR_TMP/head") == 0 ]]
	[[ $(get --compressed -0 $U/big.txt | cksum) == "$(cksum <"$RDDR_TMP/s0/www/big.txt")" ]]
	[[ $(counter web denied) == 0 ]]
	sed -i 's/^77$/78/' "$RDDR_TMP/s2/www/big.txt"
	run get --compressed -o "$RDDR_TMP/a" $U/big.txt
	[[ $(counter web denied) == 1 && $(last_evidence where) == "line 77" && $(last_evidence why) == *'"78", where "77"'* ]]
}

@test "json: documents agree whatever the order of their keys; what is not JSON is denied" {
	http_config "$RDDR_TMP/rddr.yaml" json
	begin
	printf '{"b": [1, 2],  "a": 1}' >"$RDDR_TMP/s2/www/doc.json"
	[[ $(get $U/json) == '{"a": 1, "b": [1, 2]}' ]]
	printf '{"b": [1, 3],  "a": 1}' >"$RDDR_TMP/s2/www/doc.json"
	run get -o "$RDDR_TMP/a" -w '%{http_code}' $U/json
	[[ $output == 500 && $(last_evidence where) == /b/1 && $(last_evidence minority) == variant ]]
	run get -o "$RDDR_TMP/a" -w '%{http_code}' $U/
	[[ $output == 500 && $(last_evidence where) == "header Content-Type" ]]
}
