#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Three instances of an application, each with a pool of ten connections, on one PostgreSQL: exchanges are paired by what they say.

bats_require_minimum_version 1.5.0
load lib
load postgres/lib
load postgres/outgoing

setup() { outgoing_up; }
teardown() { topology_down; }

@test "pools of ten, ten requests at a time in any order: every write arrives once, and every answer where it belongs" {
	local n=$((${RDDR_OUTGOING_REQUESTS:-10000} / RDDR_LOAD_SCALE))
	config
	begin
	apps
	run drive 1 "$n" 10
	echo "$output" | tail -n 5
	figures
	[[ $output == "good $n" ]]
	once 1 "$n"
	[[ $(counter back denied) == 0 && $(counter front denied) == 0 ]]
	# A connection of one instance has other exchanges than its twins', and one of the backend's is used again and again.
	(($(counter back regroupings) > n / 10))
	(($(counter back backend_reused) > n))
	# What reached the backend of logins are those of connections that are still there.
	(($(grep -c "connection authorized: user=app" "$RDDR_TMP/pg.log") <= 20))
}

@test "over IPv6" {
	config
	begin
	BACKEND=$(server6 3) apps
	run drive 1 100 10
	[[ $output == "good 100" ]]
	once 1 100 "$(server6 0)"
}

@test "an instance that was tampered with: its statement is stopped before the backend, the others' go on" {
	config "gather: { partner: 5s }"
	begin
	apps 1
	run drive 100 6 6
	[[ $output == "good 6" ]]
	run drive 107 1 1
	[[ $output == *"wrong 107"* ]]
	run ! grep -q "stolen" "$RDDR_TMP/pg.log"
	[[ $(on_shop "SELECT count(*) FROM orders WHERE value <> 'value-' || id OR id = 107") == 0 ]]
	(($(counter back denied) >= 1))
	[[ $(last .minority) == two && $(last .why) == *stolen* ]]
	run drive 108 9 9
	[[ $output == "good 9" ]]

	# Report mode: what instance 0 wants is done.
	REPORTS=1 config "gather: { partner: 1s }"
	ctl reload
	run drive 117 1 1
	echo "$output"
	[[ $output == "good 1" ]]
	[[ $(on_shop "SELECT value FROM orders WHERE id = 117") == value-117 ]]
	run ! grep -q "stolen" "$RDDR_TMP/pg.log"
	(($(counter back reported) >= 1))
	run drive 118 8 4
	[[ $output == "good 8" ]]
}

@test "ids of requests in every statement: noise of the pair, learnt and then left out of what pairs" {
	local n=$((400 / RDDR_LOAD_SCALE))
	config $'gather: { partner: 4s }\nfilter: true'
	begin
	NOISE=1 apps
	# Each form of statement is seen once by itself.
	for id in 1 4; do
		run drive $id 1 1
		echo "$output"
		[[ $output == "good 1" ]]
	done
	run drive 9 "$n" 10
	echo "$output" | tail -n 5
	figures
	[[ $output == "good $n" ]]
	[[ $(on_shop "SELECT count(*), count(DISTINCT id) FROM orders WHERE id >= 9") == "$((n - n / 8))|$((n - n / 8))" ]]
	(($(counter back plugin_noise_fields) > 0))
	[[ $(counter back denied) == 0 ]]
}

@test "in report mode from the start: instance 0's requests are done, whatever the others say" {
	REPORTS=1 config "gather: { partner: 1s }"
	begin
	apps 1
	run drive 1 20 4
	echo "$output"
	figures
	[[ $output == "good 20" ]]
	once 1 20
	run ! grep -q "stolen" "$RDDR_TMP/pg.log"
	(($(counter back reported) >= 1))
}

@test "pgbench with the same seeds, by each of its protocols, and a client that pipelines" {
	local i mode
	config "gather: { partner: 20s }"
	begin
	in_ns s3 env PGPASSWORD=secret /usr/lib/postgresql/15/bin/pgbench -i -q -s 2 -h 127.0.0.1 -U app shop 2>/dev/null
	for mode in "simple -N" extended "prepared -S"; do
		# shellcheck disable=SC2086 # words of their own
		three_programs /usr/lib/postgresql/15/bin/pgbench -n -c 4 -j 1 -t 50 --random-seed=7 -M $mode
		for i in 0 1 2; do grep -q "actually processed: 200/200" "$RDDR_TMP/psql-$i.log" || { log_of "psql-$i"; false; }; done
	done
	[[ $(on_shop "SELECT count(*) FROM pgbench_history") == 400 ]]
	three_programs "$RDDR_BUILD/tests/tools/pg-pipeline" "host=$(server4 3) user=app dbname=shop password=secret"
	all_printed "$(log_of psql-0)"
	[[ $(wc -l <"$RDDR_TMP/psql-0.log") -gt 500 ]]
	[[ $(counter back denied) == 0 ]]
}
