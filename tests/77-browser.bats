#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031 # bats runs each test in a shell of its own
# The notebook of 72-login.bats in a real browser: somebody logs in, writes by a form and by a script, tears a page out, logs out.

bats_require_minimum_version 1.5.0
load lib
load apps/lib
load apps/notebook

setup() { apps_up; }
teardown() { topology_down; }

# browser: somebody else at the same, in Chromium. Its log is shown where it fails.
browser() {
	if ! command -v "${CHROMIUM:-chromium}" >/dev/null; then
		say "chromium is wanted, and is not there: see tests/packages, and run 'make deps'"
		return 1
	fi
	if ! NODE_PATH="$APPS/node_modules" HOME="$RDDR_TMP" in_ns "${2:-g}" timeout -k 10 300 \
		node "$APPS_ROOT/login/browser.js" "${1:-$HERE}" "$RDDR_TMP/profile" user7 >"$RDDR_TMP/browser.log" 2>&1; then
		cat "$RDDR_TMP/browser.log"
		told
		return 1
	fi
	grep -qx "all right" "$RDDR_TMP/browser.log"
}

@test "the application works by itself in Chromium" {
	notebooks
	browser http://127.0.0.1:7001
}

@test "with the filter pair: Chromium" {
	notebooks
	with_pair
	browser
	untroubled notes
}

@test "without it, with the token fields declared: Chromium" {
	notebooks
	with_fields
	browser
	untroubled notes
}
