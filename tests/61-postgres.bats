#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2034,SC2119,SC2120,SC2154 # bats runs each test in a shell of its own
# diff-class postgres in front of three real servers of one version, clones of one data directory: clients of every kind get what a server alone
# gives; what differs is denied.

bats_require_minimum_version 1.5.0
load lib
load postgres/lib

setup() { topology_up 0; }
teardown() { topology_down; }

# Three servers behind RDDR, and a fourth that is asked directly, for comparison (port 5503).
three_and_one() {
	pg_cluster 15 15 15 15
	PG_N=3
	pg_rddr "$@"
}
three() {
	pg_cluster 15 15 15
	pg_rddr "$@"
}

# both NAME CMD...: runs a command through RDDR and at the fourth server; what they print is the same.
both() {
	local name=$1 status=0
	shift
	mkdir -p "$RDDR_TMP/rddr" "$RDDR_TMP/direct"
	(cd "$RDDR_TMP/rddr" && P=5432 "$@" >"../$name.rddr" 2>&1) || status=$?
	(cd "$RDDR_TMP/direct" && P=5503 "$@" >"../$name.direct" 2>&1) || ((status)) || return
	# A server process has a number of its own.
	sed -i 's/with PID [0-9]*/with PID N/' "$RDDR_TMP/$name.rddr" "$RDDR_TMP/$name.direct"
	if ! diff "$RDDR_TMP/$name.direct" "$RDDR_TMP/$name.rddr" >&2; then
		say "$name: not the same as direct: $(pg_records)"
		return 1
	fi
}
# Each dump has a word of its own against being restored by mistake.
dump() { pg pg_dump --blobs | sed '/^\\\(un\)\?restrict /d'; }
denied_twice() { (($(counter pg denied) >= 2)); }
denied_once() { (($(counter pg denied) == 1)); }
last() { pg_records | head -n 1; }

@test "psql: a script of everything, \\d, \\copy, large objects, prints the same as with one server" {
	three_and_one
	both everything pg psql -X -a -f "$RDDR_ROOT/tests/postgres/everything.sql"
	grep -q '^INSERT 0 3' "$RDDR_TMP/everything.rddr"
	grep -q 'ERROR:  23505' "$RDDR_TMP/everything.rddr"
	both dump dump
	grep -q 'CREATE TABLE public.shop' "$RDDR_TMP/dump.rddr"
	pg_untroubled
	# Each of the three has it.
	for i in 0 1 2; do
		P=550$i dump | diff - "$RDDR_TMP/dump.direct"
	done
}

@test "pg_dump in its own format, and pg_restore from it, through RDDR" {
	three_and_one
	both load pg psql -X -q -f "$RDDR_ROOT/tests/postgres/everything.sql"
	pg pg_dump -Fc -f "$RDDR_TMP/dump.fc"
	pg createdb again
	PGDATABASE=again pg pg_restore -d again "$RDDR_TMP/dump.fc"
	PGDATABASE=again dump >"$RDDR_TMP/again"
	P=5503 dump | diff - "$RDDR_TMP/again"
	pg_untroubled
}

@test "a pipelining client of libpq, and the package pg of Node" {
	pg_npm
	three_and_one
	both pipeline pipeline
	[[ $(grep -c '^PGRES_TUPLES_OK' "$RDDR_TMP/pipeline.rddr") == 501 && $(grep -c '22012' "$RDDR_TMP/pipeline.rddr") == 5 ]]
	both node node_client
	grep -q 'house: to everybody' "$RDDR_TMP/node.rddr"
	pg_untroubled
}
pipeline() { in_ns g "$RDDR_BUILD/tests/tools/pg-pipeline" "port=$P"; }
node_client() { in_ns g env NODE_PATH="$PG_NPM" node "$RDDR_ROOT/tests/postgres/client.js" "$P"; }

# What pgbench loads differs in nothing but the time.
bench_tables() { pg_each pg pgbench -i -q -s 1 >/dev/null 2>&1; }
# processed FILE: transactions that were done; fails where one was not.
processed() { sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$1"; }

@test "pgbench: select-only with 8 clients, TPC-B-like with 1 and with 8, in all three protocols: no false alarm, no deadlock" {
	three
	bench_tables
	for protocol in simple extended prepared; do
		pg pgbench -n -S -M $protocol -c 8 -t "$((1500 / RDDR_LOAD_SCALE))" >"$RDDR_TMP/select" 2>&1
		(($(processed "$RDDR_TMP/select") == 8 * (1500 / RDDR_LOAD_SCALE)))
		pg_untroubled
	done
	pg pgbench -n -c 1 -t "$((300 / RDDR_LOAD_SCALE))" >"$RDDR_TMP/one" 2>&1
	for protocol in simple extended prepared; do
		pg pgbench -n -M $protocol -c 8 -t "$((50 / RDDR_LOAD_SCALE))" >"$RDDR_TMP/eight" 2>&1
		(($(processed "$RDDR_TMP/eight") == 8 * (50 / RDDR_LOAD_SCALE)))
		pg_untroubled
	done
	# The three have the same: every account, teller and branch.
	pg_each sql -c 'select sum(abalance), sum(aid::bigint * abalance) from pgbench_accounts' -c 'select * from pgbench_branches, pgbench_tellers order by tid' |
		awk '{ if (NR <= 11) a[NR] = $0; else if ($0 != a[(NR - 1) % 11 + 1]) exit 1 }'
}

@test "a million rows need no more memory than ten" {
	three
	sql -c 'select 1' >/dev/null
	before=$(memory)
	[[ $(sql -c 'select i, md5(i::text) from generate_series(1, 1000000) i' | md5sum) == $(P=5500 sql -c 'select i, md5(i::text) from generate_series(1, 1000000) i' | md5sum) ]]
	pg_untroubled
	(($(memory) - before < 16384 * RDDR_PATIENCE))
}
memory() { awk '/VmHWM/ { print $2 }' "/proc/$(pid_of rddrd)/status"; }

@test "what differs is denied: FATAL, a reference, and evidence of statement, row, column and both values; never the values when redacted" {
	three
	pg_each sql -c 'create table secret (id int, what text)' -c "insert into secret values (1, 'one'), (2, 'two')"
	P=5501 sql -c "update secret set what = 'xyzzy' where id = 2"
	run sql -c '\set VERBOSITY verbose' -c 'select id, what from secret order by id'
	[[ $status != 0 && $output == *'FATAL:  57000: RDDR: the servers behind this address do not agree (reference '* && $output != *xyzzy* ]]
	[[ $(last) == *'statement 1 (select id, what from secret order by id), row 2, column 2 what'*"'xyzzy' (5 bytes), and not 'two' (3 bytes)"* ]]
	[[ $(last) == *'"minority":"pg1"'* ]]
	stop rddrd
	rm "$RDDR_TMP/evidence.jsonl" "$RDDR_TMP/rddrd.log"
	pg_rddr 'diff-params: { redact: values }'
	run sql -c 'select id, what from secret order by id'
	[[ $status != 0 && $output == *FATAL*reference* ]]
	[[ $(last) == *'row 2, column 2 what'* ]]
	run -1 grep -E 'xyzzy|eHl6enk|78797a7a79|select' "$RDDR_TMP/evidence.jsonl" "$RDDR_TMP/rddrd.log"
	# Another error, another command tag, more columns, more rows, a row less.
	P=5502 sql -c 'drop table secret'
	run sql -c 'select * from secret'
	[[ $status != 0 && $(last) == *'ErrorResponse 42P01'* && $(last) == *'"minority":"pg2"'* ]]
}

@test "enforcing: false lets instance 0's answers pass, and tells" {
	three 'enforcing: false'
	[[ $(sql -c 'select 1') == 1 ]]
	value=$(sql -c 'select random()')
	[[ $value == 0.* ]]
	wait_for "the report" 20 reported
	[[ $(sql -c 'select 2' -c 'select 3') == $'2\n3' ]]
	[[ $(counter pg denied) == 0 ]]
}
reported() { (($(counter pg reported) >= 1)); }

# A number of seven digits, another one each time.
SEVEN='(random() * 1000000)::int + 1000000'

@test "filter: columns in which the pair differs are noise, in their row alone; the third has to fit" {
	three $'filter: true'
	[[ $(sql -c 'select random(), 7') == 0.*'|7' ]]
	[[ $(sql -c 'select pg_backend_pid()') =~ ^[0-9]+$ ]]
	sql -c 'select i, case when i % 10 = 0 then random()::text end from generate_series(1, 200) i' >/dev/null
	[[ $(sql -c "copy (select 1, random(), 2) to stdout") == 1*2 ]]
	[[ $(sql -c "copy (select $SEVEN, 'abc') to stdout csv") == *,abc ]]
	[[ $(sql -c "copy (select 'abc', $SEVEN) to stdout delimiter '#'") == abc#* ]]
	pg_untroubled
	(($(counter pg noise_bytes) > 100))
	# The third has letters where the pair has digits; then the pair is past its budget.
	pg_each sql -c 'create table t (a text)' -c "insert into t values (random()::text)"
	P=5502 sql -c "update t set a = 'drop table t'"
	run sql -c 'select * from t'
	[[ $status != 0 && $(last) == *'column 1 a'* ]]
	# Noise in a row of COPY hides nothing of the rest of it, however columns are parted; in the binary format it is none.
	pg_each sql -c 'create table u (a text)' -c "insert into u values ('abc')"
	P=5502 sql -c "update u set a = 'xyz'"
	run sql -c "copy (select $SEVEN, a from u) to stdout csv"
	[[ $status != 0 && $output != *abc* && $(last) == *"column 2"*"'xyz.' (4 bytes), and not 'abc.'"* ]]
	run sql -c "copy (select $SEVEN, a from u) to stdout delimiter '#'"
	[[ $status != 0 && $output != *abc* && $(last) == *'copy (select'*'"minority":"pg2"'* ]]
	run sql -c "copy (select $SEVEN) to stdout binary"
	[[ $status != 0 && $(last) == *'copy (select'*binary*'row 1'* ]]
	run sql -c "select repeat(random()::text, 100)"
	[[ $status != 0 && $(last) == *'noise budget'* ]]
}

@test "tokens that are not one for each instance are refused with their line when the config is read" {
	PG_N=3
	pg_config "diff-params: { tokens: [[a, b], [c, d]] }"
	run -1 "$RDDR_BUILD/rddrd" --check --config "$RDDR_TMP/rddr.yaml"
	[[ $output == *"rddr.yaml:$(grep -n tokens "$RDDR_TMP/rddr.yaml" | cut -d: -f1):"*"diff-params.tokens.0: has 2 strings, and pg has 3 instances"* ]]
}

@test "unordered-rows: the same rows in another order agree, others do not" {
	three 'diff-params: { unordered-rows: true }'
	pg_each sql -c 'create table t (a int, b text)'
	P=5500 sql -c "insert into t select i, 'row' from generate_series(1, 2000) i"
	P=5501 sql -c "insert into t select i, 'row' from generate_series(2000, 1, -1) i"
	P=5502 sql -c "insert into t select i, 'row' from generate_series(1, 2000) i order by md5(i::text)"
	[[ $(sql -c 'select * from t' | md5sum) == $(P=5500 sql -c 'select * from t' | md5sum) ]]
	[[ $(sql -c 'select count(*) from t') == 2000 ]]
	pg_untroubled
	P=5502 sql -c 'delete from t where a = 1000' -c "insert into t values (1001, 'row')"
	run sql -c 'select * from t'
	[[ $status != 0 && $(last) == *'in any order'* ]]
}

@test "cancel: one key for the client, the statement ends at all three; a key that is nobody's does nothing" {
	three
	PGOPTIONS='-c application_name=sleeper' spawn sleeper g /usr/lib/postgresql/15/bin/psql -X -p 5432 -c "set application_name = 'sleeper'" -c 'select pg_sleep(100000)' -c 'select 1'
	wait_for "three sleepers" 30 sleepers 3
	signal sleeper INT
	wait_for "its end" 30 gone sleeper
	log_of sleeper | grep -q 'canceling statement due to user request'
	wait_for "no sleepers" 30 sleepers 0
	[[ $(counter pg plugin_cancels) == 1 ]]
	printf '\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x01\x00\x00\x00\x02' | in_ns g timeout 20 socat - TCP:127.0.0.1:5432
	pg_untroubled
}
sleepers() { [[ $(pg_each sql -c "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'" | awk '{ n += $1 } END { print n }') == "$1" ]]; }
gone() { ! alive "$1"; }

@test "LISTEN and NOTIFY between sessions, notices and settings in the middle of anything" {
	three
	mkfifo "$RDDR_TMP/in"
	spawn ear g sh -c "exec /usr/lib/postgresql/15/bin/psql -X -p 5432 <$RDDR_TMP/in"
	exec 7>"$RDDR_TMP/in"
	echo 'listen news; select 1 as listening;' >&7
	wait_for "the listener" 20 grep -q listening "$RDDR_TMP/ear.log"
	for i in 1 2 3 4 5; do
		sql -c "notify news, 'number $i'"
	done
	# psql looks for notifications after each statement.
	wait_for "five numbers" 30 five_numbers
	exec 7>&-
	run sql -c 'set client_min_messages = debug1' -c "set datestyle = 'german'; do \$\$ begin for i in 1..2000 loop raise notice 'n %', i; end loop; end \$\$; select now() is not null"
	[[ $status == 0 && $(grep -c NOTICE <<<"$output") == 2000 ]]
	pg_untroubled
}
five_numbers() {
	echo 'select 2;' >&7
	(($(grep -c 'number [1-5]' "$RDDR_TMP/ear.log") == 5))
}

@test "a server that dies in the middle of a transaction or of a COPY: the client is told, nothing is committed, others go on" {
	PG_SKEW=5s three
	sql -c 'create table t (a int)'
	mkfifo "$RDDR_TMP/in" "$RDDR_TMP/copy"
	spawn writer g sh -c "exec /usr/lib/postgresql/15/bin/psql -X -p 5432 <$RDDR_TMP/in"
	exec 7>"$RDDR_TMP/in"
	echo "begin; insert into t values (1); select 'inserted';" >&7
	wait_for "the insert" 20 grep -q inserted "$RDDR_TMP/writer.log"
	P=5502 sql -c "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'" >/dev/null
	# Not before it is noticed: until then a commit may still reach the leader.
	wait_for "a denial" 60 denied_once
	echo "commit;" >&7
	exec 7>&-
	wait_for "its end" 30 gone writer
	spawn copier g sh -c "exec /usr/lib/postgresql/15/bin/psql -X -p 5432 -c 'copy t from stdin' <$RDDR_TMP/copy"
	exec 8>"$RDDR_TMP/copy"
	seq 1 20000 >&8
	wait_for "the COPY" 20 copying
	P=5501 sql -c "select pg_terminate_backend(pid) from pg_stat_activity where query like 'copy t%'" >/dev/null
	wait_for "its death" 20 not_copying
	# And so the end of the COPY.
	wait_for "a denial" 60 denied_twice
	{ seq 1 20000 >&8; } 2>/dev/null || true
	exec 8>&-
	wait_for "its end" 30 gone copier
	wait_for "nobody in a transaction" 30 settled
	[[ $(pg_each sql -c 'select count(*) from t' | sort -u) == 0 ]]
	[[ $(sql -c 'select 1') == 1 ]]
}
copying() { [[ $(P=5501 sql -c "select count(*) from pg_stat_activity where query like 'copy t%' and state = 'active'") == 1 ]]; }
not_copying() { [[ $(P=5501 sql -c "select count(*) from pg_stat_activity where query like 'copy t%' and state = 'active'") == 0 ]]; }
settled() { [[ $(pg_each sql -c "select count(*) from pg_stat_activity where pid <> pg_backend_pid() and (state = 'active' or state like 'idle in%')" | sort -u) == 0 ]]; }

@test "what transactions hold on to after a divergence is what the manual says" {
	three
	pg_each sql -c 'create table t (a int)' -c 'create table odd (a int)'
	P=5501 sql -c 'insert into odd values (1)'
	# In a transaction: nothing of it is there at any of the three.
	run sql <<-'END'
		begin;
		insert into t values (1);
		select * from odd;
		commit;
	END
	[[ $status != 0 ]]
	wait_for "nobody in a transaction" 30 settled
	[[ $(pg_each sql -c 'select count(*) from t' | sort -u) == 0 ]]
	# By itself: it was done by each before anybody could compare.
	run sql -c 'insert into t select 1 from odd'
	[[ $status != 0 && $output == *FATAL* ]]
	wait_for "nobody in a transaction" 30 settled
	[[ $(P=5501 sql -c 'select count(*) from t') == 1 && $(P=5500 sql -c 'select count(*) from t') == 0 ]]
	# A COMMIT that one refuses: the leader has done it.
	pg_each sql -c 'truncate t'
	P=5502 sql -c 'alter table t add constraint once unique (a) deferrable initially deferred'
	run sql <<-'END'
		begin;
		insert into t values (1), (1);
		commit;
	END
	[[ $status != 0 && $(last) == *23505* ]]
	[[ $(pg_each sql -c 'select count(*) from t' | tr '\n' ' ') == '2 2 0 ' ]]
}

# raw: what comes back until the other side closes; our side stays open.
raw() { printf '%b' "$1" | in_ns g timeout 30 socat -t 20 - TCP:127.0.0.1:5432,shut-none | tr -d '\0'; }
# refused NAME CASE: a clear error, which is counted as NAME, and once.
refused() {
	local before denied
	before=$(counter pg "$1") denied=$(counter pg denied_rejected)
	run raw "$2"
	if [[ $output != *SFATAL*C08P01*"passed to no server"* || $(counter pg "$1") != $((before + 1)) || $(counter pg denied_rejected) != $((denied + 1)) ]]; then
		say "not refused: $2: $output"
		return 1
	fi
}
STARTUP='\x00\x00\x00\x29\x00\x03\x00\x00user\x00postgres\x00database\x00postgres\x00\x00'

@test "lengths that cannot be, garbage, unknown messages, a startup packet of 10 MB: a clear error, and nothing else is disturbed" {
	three
	local n=0 case
	spawn steady g /usr/lib/postgresql/15/bin/pgbench -n -f <(echo 'select 1') -c 1 -T 600 -p 5432 -h 127.0.0.1 postgres
	# Before the login.
	while IFS= read -r case; do
		refused plugin_rejected "$case"
		n=$((n + 1))
	done <<-'END'
		\x00\x00\x00\x04
		\xff\xff\xff\xff
		\x7f\xff\xff\xff\x00\x03\x00\x00
		GET / HTTP/1.1\r\n\r\n
		\x00\x00\x00\x09\x00\x02\x00\x00\x00
		\x00\x00\x00\x0c\x00\x03\x00\x00user
		\x00\x00\x00\x08\x04\xd2\x16\x2f\x00\x00\x00\x08\x04\xd2\x16\x2f
	END
	((n == 7))
	# Behind it: lengths that are negative, too small, more than a server takes, as large as an int; and with a good message in front.
	run raw "$STARTUP"'Q\x00\x00\x00\x0eselect 42\x00X\x00\x00\x00\x04'
	[[ $output == *42*SELECT* ]]
	while IFS= read -r case; do
		refused plugin_rejected "$STARTUP$case"
		n=$((n + 1))
	done <<-'END'
		Q\xff\xff\xff\xff
		Q\x80\x00\x00\x00
		Q\x00\x00\x00\x00
		P\x00\x00\x00\x03
		d\x40\x00\x00\x00
		S\x7f\xff\xff\xff
		H\x00\x00\x00\x04B\xff\xff\xff\xfe
	END
	# Types that no client sends: none at all, a server's, a password's when nobody asks for it, letters without a meaning.
	while IFS= read -r case; do
		refused plugin_unknown_messages "$STARTUP$case"
		n=$((n + 1))
	done <<-'END'
		\x00\x00\x00\x00\x04
		Z\x00\x00\x00\x05I
		p\x00\x00\x00\x0asecret
		z\x00\x00\x00\x04
		\xff\x00\x00\x00\x04
	END
	((n == 19))
	# Ten megabytes of it: nobody waits for them.
	run bash -c "{ printf '\\x00\\x98\\x96\\x80\\x00\\x03\\x00\\x00user\\x00'; head -c 10000000 /dev/zero; } | nsenter --net=/run/netns/${RDDR_T}g timeout 30 socat -t 20 - TCP:127.0.0.1:5432 2>/dev/null | tr -d '\\0'"
	[[ $output == *SFATAL*C08P01* ]]
	(($(counter pg denied) == n + 1))
	alive steady
	[[ $(sql -c 'select 1') == 1 ]]
	stop steady
}

# Version, and what else is asked for, of a startup packet with a Query and a Terminate behind it.
asks_for() {
	local rest="\\x00\\x03\\x00${1}user\\x00postgres\\x00database\\x00postgres\\x00$2\\x00" len
	len=$(printf '%b' "$rest" | wc -c)
	raw "\\x00\\x00\\x00\\x$(printf %02x $((len + 4)))$rest"'Q\x00\x00\x00\x0eselect 42\x00X\x00\x00\x00\x04'
}

@test "a client that asks for extensions, or a later version of the protocol, is told that 3.0 is spoken, and served" {
	three
	[[ $(asks_for '\x00' '') != *v*_pq_* ]]
	[[ $(asks_for '\x00' '_pq_.one\x001\x00application_name\x00x\x00_pq_.other\x002\x00') == v*_pq_.one_pq_.other*application_name*x*42*SELECT* ]]
	[[ $(asks_for '\x02' '') == v*42*SELECT* && $(asks_for '\x02' '_pq_.one\x001\x00') == v*_pq_.one*42*SELECT* ]]
	pg_untroubled
	# Where instance 0 is heard itself it says so itself.
	stop rddrd
	PG_SKEW=3s pg_rddr 'enforcing: false'
	[[ $(asks_for '\x02' '_pq_.one\x001\x00') == v*_pq_.one*42*SELECT* ]]
	[[ $(asks_for '\x00' '_pq_.one\x001\x00') == v*_pq_.one*42*SELECT* ]]
	[[ $(counter pg reported) == 0 ]]
}

@test "COPY both: pg_receivewal streams a server's log through RDDR" {
	pg_cluster 15
	pg_rddr
	mkdir "$RDDR_TMP/wal"
	spawn wal g /usr/lib/postgresql/15/bin/pg_receivewal -n -D "$RDDR_TMP/wal" -p 5432 -h 127.0.0.1
	wait_for "the stream" 30 streams
	sql -c 'create table t as select i, md5(i::text) from generate_series(1, 50000) i' -c 'select pg_switch_wal()' >/dev/null
	wait_for "a segment" 60 segment
	stop wal INT
	# What came is the server's own.
	cmp "$SEGMENT" "$RDDR_TMP/pg/0/pg_wal/${SEGMENT##*/}"
	pg_untroubled
}
streams() { [[ $(P=5500 sql -c "select count(*) from pg_stat_replication where state = 'streaming'") == 1 ]]; }
segment() {
	SEGMENT=$(find "$RDDR_TMP/wal" -name '????????????????????????' | sort | head -n 1)
	[[ -n $SEGMENT ]]
}
