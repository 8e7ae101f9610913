#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2119,SC2120,SC2030,SC2031 # bats runs each test in a shell of its own
# A web application with a login, three times: session cookies, CSRF tokens and addresses that each instance draws for itself. People log in, post forms
# and log out, in curl; each instance gets its own tokens back. 77-browser.bats has the same in Chromium.

bats_require_minimum_version 1.5.0
load lib
load apps/lib
load apps/notebook

setup() { apps_up; }
teardown() { topology_down; }

@test "the application works by itself" {
	notebooks
	HERE=http://127.0.0.1:7001
	someone ann
}

@test "with the filter pair: curl" {
	notebooks
	with_pair
	someone ann
	someone bob
	untroubled notes
	(($(counter notes plugin_tokens_learnt) > 0 && $(counter notes plugin_tokens_replaced) > 0))
}

@test "without it, with the token fields declared: curl" {
	notebooks
	with_fields
	someone ann
	someone bob
	untroubled notes
}

@test "an instance that lets in whom the others do not is stopped" {
	notebooks
	with_pair
	local before
	# Somebody else's session, made at the variant alone: what a stolen key would allow.
	visit "$HERE/"
	before=$(records)
	stop notebook-7003
	start_node notebook-7003 127.0.0.1 7003 login/server.js 127.0.0.1 7003
	visit -L --data-urlencode "_csrf=$(form_token)" -d "user=ann&password=password%20of%20ann" "$HERE/login"
	saw 500 "Access denied"
	wait_for "the evidence" 30 more_records "$before"
	[[ $(last_record | jq -r .where) == "the status" ]]
}

# log_in URL: as ann.
log_in() {
	visit "$1/"
	visit -L --data-urlencode "_csrf=$(form_token)" -d "user=ann&password=password%20of%20ann" "$1/login"
	saw 200 "<h1>Notes of ann</h1>"
}
# jar NAME: what the visitor's jar has under that name.
jar() { awk -v name="$1" '$6 == name { print $7 }' "$RDDR_TMP/jar"; }

@test "a variant that calls its session by another name is denied without a rule" {
	notebooks_apart
	with_pair
	visit "$HERE/"
	saw 500 "Access denied"
	wait_for "the evidence" 30 more_records 0
	[[ $(last_record | jq -r .where) == "header Set-Cookie connect.sid" ]]
	[[ $(last_record | jq -r .minority) == p7003 ]]
}

@test "a variant that calls its session by another name, with the filter pair: curl" {
	notebooks_apart
	rddr < <(service notes 7000 $'diff-class: http\nfilter: true\nnoise: { share: 50% }\ndiff-params: { fields: ['"$(names compare)"'] }' 7001 7002 7003)
	someone ann
	someone bob
	untroubled notes
	(($(counter notes plugin_tokens_learnt) > 0 && $(counter notes plugin_tokens_replaced) > 0))
}

@test "a variant that calls its session by another name, with the token fields declared: curl" {
	notebooks_apart
	HERE=http://127.0.0.1:7003 someone user1
	[[ -n $(jar "$VARIANT") && -z $(jar connect.sid) ]]
	rddr < <(service notes 7000 $'diff-class: http\n'"${FIELDS/'{ cookie: connect.sid, action: token }'/$(names token)}" 7001 7002 7003)
	someone ann
	[[ -n $(jar connect.sid) && -z $(jar "$VARIANT") ]]
	someone bob
	untroubled notes
}

@test "a session of the variant's own is nobody's behind RDDR, whatever name the client gives it" {
	notebooks_apart
	rddr < <(service notes 7000 $'diff-class: http\n'"${FIELDS/'{ cookie: connect.sid, action: token }'/$(names token)}" 7001 7002 7003)
	local stolen own cookies
	# Logged in at the variant, beside RDDR.
	log_in http://127.0.0.1:7003
	stolen=$(jar "$VARIANT")
	visit "http://127.0.0.1:7003/notes" -b "$VARIANT=$stolen"
	saw 200 "<h1>Notes of ann</h1>"
	rm "$RDDR_TMP/jar"
	visit -L "$HERE/notes" -b "$VARIANT=$stolen"
	saw 200 "<h1>Log in</h1>"
	untroubled notes
	# And beside a session of one's own: it takes nothing from it, and nobody has two.
	log_in "$HERE"
	own=$(jar connect.sid)
	for cookies in "$VARIANT=$stolen; connect.sid=$own" "connect.sid=$own;$VARIANT=$stolen" "connect.sid2=x; a=connect.sid; connect.sid=$own"; do
		rm -f "$RDDR_TMP/jar"
		visit -b "$cookies" "$HERE/notes"
		saw 200 "<h1>Notes of ann</h1>"
	done
	untroubled notes
}

@test "names of a cookie that do not fit the service are named with their line" {
	local rules said
	while IFS='|' read -r rules said; do
		{
			printf 'services:\n'
			service notes 7000 $'diff-class: http\ndiff-params: { fields: [ '"$rules ] }" 7001 7002 7003
		} >"$RDDR_TMP/wrong.yaml"
		run -1 rddrd --check --config "$RDDR_TMP/wrong.yaml"
		[[ $output == *"$RDDR_TMP/wrong.yaml:$(grep -n diff-params "$RDDR_TMP/wrong.yaml" | cut -d: -f1):"*"$said"* ]] || { say "$output"; false; }
	done <<-'END'
		{ cookie: [a, b], action: token }|services.notes.diff-params: diff-params.fields[0].cookie: has 2 names, and notes has 3 instances
		{ cookie: [a, a, "b;c"], action: token }|diff-params.fields[0].cookie[2]: "b;c" is no cookie name
		{ cookie: [a, a, b], action: token }, { cookie: [c, c, b], action: token }|diff-params.fields[1]: instance 2 has "b"
	END
}
