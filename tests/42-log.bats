#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The log: its form, to a terminal's eye and to the journal's, and that nobody ever waits for it.

bats_require_minimum_version 1.5.0
load lib
load lib-operator

teardown() { topology_down; }

# rddrd_with_stderr FILE: the daemon, its log going there.
rddrd_with_stderr() {
	local file=$1
	shift
	rddrd_args "$RDDR_TMP/rddr.yaml" "$@"
	# shellcheck disable=SC2016 # for the inner shell
	spawn rddrd g bash -c 'exec "$@" 2>"$0"' "$file" "${RDDRD[@]}"
	_rddrd_up rddrd
}

@test "every line has a time, a level and a module" {
	shop_up
	ctl log-level debug
	agreed
	denied
	ctl reload
	stop rddrd
	log_of rddrd
	[[ $(log_of rddrd | wc -l) -ge 4 ]]
	time='20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z'
	run -1 grep -vE "^$time (error|warning|info|debug) [a-z][a-z0-9_-]*: ." "$RDDR_TMP/rddrd.log"
}

@test "under systemd a line begins with its priority" {
	topology_up 3
	for i in 0 1 2; do
		start_nginx "$i" --page "page of the house"
	done
	shop_config
	: >"$RDDR_TMP/journal"
	JOURNAL_STREAM=$(stat -c %d:%i "$RDDR_TMP/journal") rddrd_with_stderr "$RDDR_TMP/journal"
	denied
	stop rddrd
	cat "$RDDR_TMP/journal"
	grep -q '^<6>daemon: ' "$RDDR_TMP/journal"
	grep -q '^<4>verdict: deny ' "$RDDR_TMP/journal"
	run -1 grep -vE '^<[3467]>[a-z]' "$RDDR_TMP/journal"
}

@test "a reader of the log that stops holds up neither traffic nor evidence, nor the daemon's end" {
	topology_up 3
	for i in 0 1 2; do
		start_nginx "$i" --page "page of the house"
	done
	shop_config
	mkfifo "$RDDR_TMP/stderr"
	# Held open and never read; full before the first session.
	exec 9<>"$RDDR_TMP/stderr"
	rddrd_with_stderr "$RDDR_TMP/stderr" --log-level debug 9>&-
	run dd if=/dev/zero of="$RDDR_TMP/stderr" oflag=nonblock bs=1 count=2000000
	[[ $output == *"Resource temporarily unavailable"* ]]
	for _ in $(seq 50); do
		denied
		agreed
	done
	[[ $(counter shop denied) == 50 ]]
	[[ $(ctl --json evidence --limit 100 | jq '.evidence | length') == 50 ]]
	stop rddrd
	exec 9>&-
}

@test "a log that nobody holds any more ends nothing" {
	topology_up 3
	for i in 0 1 2; do
		start_nginx "$i" --page "page of the house"
	done
	shop_config
	mkfifo "$RDDR_TMP/stderr"
	exec 9<>"$RDDR_TMP/stderr"
	rddrd_with_stderr "$RDDR_TMP/stderr" 9>&-
	exec 9>&-
	for _ in 1 2 3; do
		denied
		agreed
	done
	[[ $(counter shop denied) == 3 ]]
	stop rddrd
}
