#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2034 # read by the library
# One site served by nginx, Apache httpd and lighttpd: a crawl of it through RDDR is the site, by the defaults and the rules in apps/site/rules.yaml.

bats_require_minimum_version 1.5.0
load lib
load apps/lib

setup() {
	apps_up
	"$APPS_ROOT/site/build.sh" "$RDDR_TMP/site" 40
	site_nginx web-nginx 7001 "$RDDR_TMP/site"
	site_apache web-apache 7002 "$RDDR_TMP/site"
	site_lighttpd web-lighttpd 7003 "$RDDR_TMP/site"
}
teardown() { topology_down; }

# rules: the file without its comments, as a service has it.
rules() { grep -v '^ *#' "$APPS_ROOT/site/rules.yaml"; }

# three PORT PORT PORT [LINES]
three() { rddr < <(service site 7000 "$(rules)"$'\n'"${4:-}" "$1" "$2" "$3"); }

# crawl: follows every link; what it got is the site, file by file.
crawl() {
	local got="$RDDR_TMP/crawl" file name
	rm -rf "$got"
	in_ns g wget -q -r -l inf -nH --no-parent --tries=1 --timeout="$((60 * RDDR_PATIENCE))" -e robots=off -P "$got" http://127.0.0.1:7000/ || {
		last_record
		return 1
	}
	# What has a query is a page with it in its name.
	while IFS= read -r file; do
		name=${file#"$got"/}
		cmp "$file" "$RDDR_TMP/site/${name%%\?*}"
	done < <(find "$got" -type f)
	diff <(cd "$got" && find . -type f ! -name '*\?*' | sort) <(cd "$RDDR_TMP/site" && find . -type f ! -name missing.html | sort)
	(($(find "$got" -type f -name '*\?*' | wc -l) == 40))
	untroubled site
}

# code ARGS... PATH: the status; head and page in files.
code() {
	fetch -D "$RDDR_TMP/head" -o "$RDDR_TMP/page" -w '%{http_code}' "${@:1:$#-1}" "http://127.0.0.1:7000${*: -1}"
}
# is CODE ARGS... PATH
is() {
	local got
	got=$(code "${@:2}")
	[[ $got == "$1" ]] || { say "$got, not $1: ${*:2}"; cat "$RDDR_TMP/head" >&2; last_record >&2; return 1; }
}

@test "a crawl through RDDR is the site, whichever server comes first" {
	three 7001 7002 7003
	crawl
	stop rddrd
	three 7002 7003 7001
	crawl
	stop rddrd
	three 7003 7001 7002
	crawl
}

@test "what is there already is not sent again: each server gets its own ETag back" {
	local file n=0 etag
	three 7001 7002 7003
	for file in /index.html /pages/page-3.html /assets/picture-11.png /files/download.bin /files/empty.txt /empty%20space/a%20file.txt; do
		is 200 "$file"
		etag=$(sed -n 's/^etag: *\(.*\)\r$/\1/ip' "$RDDR_TMP/head")
		[[ -n $etag ]]
		is 304 -H "If-None-Match: $etag" "$file"
		is 304 -H "If-None-Match: \"nothing\", $etag" "$file"
		is 200 -H "If-None-Match: \"663881d9-fffff\"" "$file"
		is 304 -H "If-Modified-Since: Mon, 06 May 2024 07:08:09 GMT" "$file"
		is 200 -H "If-Modified-Since: Sun, 05 May 2024 07:08:09 GMT" "$file"
		n=$((n + 2))
	done
	(($(counter site plugin_tokens_replaced) >= n))
	untroubled site
}

@test "parts of files, heads, and what is not there" {
	local range
	three 7001 7002 7003
	for range in 0-0 5-99 20000- -17; do
		is 206 -r "$range" /files/download.bin
		in_ns g curl -sS -r "$range" "file://$RDDR_TMP/site/files/download.bin" -o "$RDDR_TMP/part"
		cmp "$RDDR_TMP/part" "$RDDR_TMP/page"
	done
	is 200 -I /pages/page-7.html
	grep -qi "^content-length: $(stat -c %s "$RDDR_TMP/site/pages/page-7.html")" "$RDDR_TMP/head"
	is 404 /nothing.html
	grep -q "<h1>Not found</h1>" "$RDDR_TMP/page"
	is 404 -I /nothing.html
	untroubled site
}

@test "a page that was changed at one server does not get out" {
	local port
	three 7001 7002 7003
	# Apache gets a site of its own, with a word in one page that is not the others'.
	cp -a "$RDDR_TMP/site" "$RDDR_TMP/defaced"
	sed -i 's/Line 4 of the page/Send your password/' "$RDDR_TMP/defaced/pages/page-5.html"
	touch -d '2024-05-06 07:08:09 UTC' "$RDDR_TMP/defaced/pages/page-5.html"
	stop web-apache
	site_apache web-apache 7002 "$RDDR_TMP/defaced"
	is 200 /pages/page-4.html
	is 500 /pages/page-5.html
	grep -q "Access denied" "$RDDR_TMP/page"
	run -1 grep -q "password" "$RDDR_TMP/page"
	last_record | tee "$RDDR_TMP/record"
	[[ $(jq -r .where "$RDDR_TMP/record") == "line 13" ]]
	# Nor where all that a visitor asks for is a part of it.
	is 500 -r 0-800 /pages/page-5.html
	# A file that only one has.
	echo "leaked" >"$RDDR_TMP/defaced/files/more.txt"
	is 500 /files/more.txt
	[[ $(last_record | jq -r .where) == "the status" ]]
}
