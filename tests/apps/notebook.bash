# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# The notebook (login/server.js), three times, and who visits it. For bats, after lib and apps/lib.

# The fields that are every instance's own, for a service without a filter pair.
FIELDS='diff-params:
  fields:
    - { cookie: connect.sid, action: token }
    - { header: ETag, action: translate }
    - { header: Location, action: token }
    - { line: '\''name="_csrf" value="([^"]+)"'\'', action: token }
    - { line: '\''/notes/([0-9a-f-]{36})'\'', action: token }
    - { line: '\''\?share=([A-Za-z0-9_-]+)"'\'', action: ignore }
    - { pointer: /id, action: token }
    - { pointer: /links/self, action: token }'

# notebooks [MILLISECONDS]: the three.
notebooks() {
	local port
	for port in 7001 7002 7003; do begin_node "notebook-$port" login/server.js 127.0.0.1 "$port" "$@"; done
	for port in 7001 7002 7003; do await_node "notebook-$port" 127.0.0.1 "$port"; done
}

# The same, but that the third calls its cookie VARIANT.
VARIANT=JSESSIONID
notebooks_apart() {
	local port
	for port in 7001 7002; do begin_node "notebook-$port" login/server.js 127.0.0.1 "$port"; done
	begin_node notebook-7003 login/server.js 127.0.0.1 7003 "" "$VARIANT"
	for port in 7001 7002 7003; do await_node "notebook-$port" 127.0.0.1 "$port"; done
}
# names ACTION: a rule for the cookie.
names() { printf '{ cookie: [connect.sid, connect.sid, %s], action: %s }' "$VARIANT" "$1"; }

# Half of a short list of links to notes is the notes' own names.
with_pair() { rddr < <(service notes 7000 $'diff-class: http\nfilter: true\nnoise: { share: 50% }' 7001 7002 7003); }
with_fields() { rddr < <(service notes 7000 $'diff-class: http\n'"$FIELDS" 7001 7002 7003); }

HERE=http://127.0.0.1:7000

# visit ARGS...: curl with the visitor's cookies; what is seen is in $RDDR_TMP/page.
visit() {
	fetch -b "$RDDR_TMP/jar" -c "$RDDR_TMP/jar" -o "$RDDR_TMP/page" -D "$RDDR_TMP/head" -w '%{http_code}' "$@" >"$RDDR_TMP/code"
}
saw() {
	if ! [[ $(cat "$RDDR_TMP/code") == "$1" ]] || ! grep -qF -- "$2" "$RDDR_TMP/page"; then
		say "not $1 with '$2':"
		cat "$RDDR_TMP/head" "$RDDR_TMP/page" >&2
		told
		return 1
	fi
}
# The evidence, where there is a daemon.
told() { ! alive rddrd || ctl --json evidence | jq -c '.evidence[] | {where, why, minority, request, seen: [.instances[].excerpt]}' >&2; }
form_token() { sed -n '0,/_csrf/s/.*name="_csrf" value="\([^"]*\)".*/\1/p' "$RDDR_TMP/page"; }

# someone NAME: all that the application can do.
someone() {
	local token id i chunked=([2]="Transfer-Encoding: chunked")
	rm -f "$RDDR_TMP/jar"
	visit "$HERE/"
	saw 200 "<h1>Log in</h1>"
	token=$(form_token)
	[[ $token =~ ^[0-9a-f]{48}$ ]]
	# A form that is not from here, and a wrong password.
	visit --data-urlencode "_csrf=${token//[0-9]/a}" --data-urlencode "user=$1" --data-urlencode "password=password of $1" "$HERE/login"
	saw 403 "not from here"
	visit --data-urlencode "_csrf=$token" --data-urlencode "user=$1" --data-urlencode "password=wrong" "$HERE/login"
	saw 403 "not right"
	visit -L --data-urlencode "_csrf=$token" --data-urlencode "user=$1" --data-urlencode "password=password of $1" "$HERE/login"
	saw 200 "<h1>Notes of $1</h1>"
	token=$(form_token)
	for i in 1 2 3; do
		# The second form comes in chunks; curl would say so of the page that it is sent to as well.
		visit ${chunked[i]:+-H "${chunked[i]}"} --data-urlencode "_csrf=$token" --data-urlencode "text=note $i & <more>" "$HERE/notes"
		saw 303 ""
		visit "$HERE$(sed -n 's/^location: *\([^ ]*\)\r$/\1/ip' "$RDDR_TMP/head")"
		saw 200 "<p class=\"note\">note $i &#38; &#60;more&#62;</p>"
		id=$(sed -n 's|.*action="/notes/\([^/]*\)/remove".*|\1|p' "$RDDR_TMP/page")
		[[ $id =~ ^[0-9a-f-]{36}$ ]]
	done
	# The token in a header, the note's name in a JSON body and in an answer.
	visit -H "X-CSRF-Token: $token" -H "Content-Type: application/json" -d "{ \"text\": \"by a script\", \"tags\": [\"a\", \"b\"] }" "$HERE/api/notes"
	saw 201 '"text":"by a script"'
	visit "$HERE$(jq -r .links.self "$RDDR_TMP/page")"
	saw 200 '<p class="note">by a script</p>'
	visit -H "X-CSRF-Token: $token" -H "Content-Type: application/json" -H "${chunked[2]}" -d "{\"id\":\"$id\"}" "$HERE/api/remove"
	saw 200 '{"removed":true}'
	visit "$HERE/notes/$id"
	saw 404 "No such note"
	visit "$HERE/notes"
	saw 200 "note 2"
	run -1 grep "note 3" "$RDDR_TMP/page"
	visit --data-urlencode "_csrf=$token" "$HERE/logout"
	saw 303 ""
	visit -L "$HERE/notes"
	saw 200 "<h1>Log in</h1>"
}
