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
