#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2034,SC2119,SC2120,SC2154 # bats runs each test in a shell of its own
# diff-class postgres, three real servers: what the leader is lost with, what was cancelled and what was not compared yet is not done by the
# others, so that the databases stay the same; and what comes at any time denies nobody.

bats_require_minimum_version 1.5.0
load lib
load postgres/lib

setup() { topology_up 0; }
teardown() { topology_down; }

# With a lead-time that no test outlasts.
three() {
	pg_cluster 15 15 15
	pg_rddr "diff-params: { lead-time: ${LEAD:-300s} }"
	pg_each sql -c 'create table t (a int)' -c 'create table odd (a int)'
}
odd() { P=5501 sql -c 'insert into odd values (1)'; }
last() { pg_records | head -n 1; }
denied() { (($(counter pg denied) == $1)); }
gone() { ! alive "$1"; }

# at_terminal NAME: the same at a terminal, where Ctrl-C cancels a statement and psql goes on.
at_terminal() {
	mkfifo "$RDDR_TMP/$1.in"
	spawn "$1" g sh -c "exec socat - EXEC:'/usr/lib/postgresql/15/bin/psql -X -A -t -n -p 5432',pty,setsid,ctty,echo=0 <$RDDR_TMP/$1.in"
	exec 7>"$RDDR_TMP/$1.in"
}
ctrl_c() { printf '\003' >&7; }
# client NAME: a psql that is told its statements by tell, through the descriptor 7.
client() {
	mkfifo "$RDDR_TMP/$1.in"
	spawn "$1" g sh -c "exec /usr/lib/postgresql/15/bin/psql -X -A -t -p 5432 <$RDDR_TMP/$1.in"
	exec 7>"$RDDR_TMP/$1.in"
}
tell() { echo "$1" >&7; }
# backend STATEMENT: the process of server 0 that does it, or did it last.
backend() { P=5500 sql -c "select pid from pg_stat_activity where query like '$1%' and pid <> pg_backend_pid()"; }
is_at() { [[ -n $(P=5500 sql -c "select 1 from pg_stat_activity where query like '$1%' and state = 'active' and pid <> pg_backend_pid()") ]]; }
heard_more() { (($(counter pg bytes_in) > $1)); }
# kill_at N CMD...: server 0's process N is stopped, the client's CMD comes to it, and it is killed with that unread or undone.
kill_at() {
	local pid=$1 before
	shift
	before=$(counter pg bytes_in)
	kill -STOP "$pid"
	"$@"
	wait_for "the client" 30 heard_more "$before"
	kill -KILL "$pid"
}
counts() { pg_each sql -c 'select count(*) from t' | tr '\n' ' '; }
# Those that are connected are done with, and a server that lost a process has started anew.
settled() {
	local i
	for i in 0 1 2; do
		pg_ready "$i" || return
		[[ $(P=$((5500 + i)) sql -c "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()") == 0 ]] || return
	done
} 2>/dev/null
ended() {
	wait_for "a denial" 30 denied "$1"
	exec 7>&-
	wait_for "its end" 30 gone "$2"
	wait_for "nobody at the servers" 60 settled
}

@test "the leader is killed in a COMMIT, in a statement, and at the end of a COPY: the others do not do it" {
	three
	client commit
	tell "begin; insert into t values (1); select 'insert' || 'ed';"
	wait_for "the insert" 30 grep -q inserted "$RDDR_TMP/commit.log"
	kill_at "$(backend "select ''insert")" tell 'commit;'
	ended 1 commit
	[[ $(counts) == '0 0 0 ' ]]
	[[ $(last) == *'it ended in what the others have not been sent'* && $(last) == *'"minority":"pg0"'* ]]
	grep -q FATAL "$RDDR_TMP/commit.log"

	client statement
	tell "select 'rea' || 'dy';"
	wait_for "the session" 30 grep -q ready "$RDDR_TMP/statement.log"
	kill_at "$(backend "select ''rea")" tell 'insert into t values (1);'
	ended 2 statement
	[[ $(counts) == '0 0 0 ' ]]

	mkfifo "$RDDR_TMP/rows"
	spawn copy g sh -c "exec /usr/lib/postgresql/15/bin/psql -X -p 5432 -c 'copy t from stdin' <$RDDR_TMP/rows"
	exec 7>"$RDDR_TMP/rows"
	seq 1 20000 >&7
	wait_for "the COPY" 30 is_at 'copy t'
	kill_at "$(backend 'copy t')" exec_close
	ended 3 copy
	[[ $(counts) == '0 0 0 ' ]]
	[[ $(sql -c 'insert into t values (1) returning a') == 1 && $(counts) == '1 1 1 ' ]]
}
exec_close() { exec 7>&-; }

@test "the leader is told to go in its COMMIT: the others do not do it; a client that has all of them go hears it" {
	three
	pg_each sql -c 'create function wait() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(1); return null; end $$' \
		-c 'create constraint trigger late after insert on t deferrable initially deferred for each row execute function wait()'
	mkfifo "$RDDR_TMP/lock"
	spawn lock g sh -c "exec /usr/lib/postgresql/15/bin/psql -X -A -t -p 5500 <$RDDR_TMP/lock"
	exec 8>"$RDDR_TMP/lock"
	echo "select pg_advisory_lock(1), 'locked' || '';" >&8
	wait_for "the lock" 30 grep -q locked "$RDDR_TMP/lock.log"
	client commit
	tell 'begin; insert into t values (1);'
	tell 'commit;'
	wait_for "the COMMIT" 30 is_at commit
	P=5500 sql -c "select pg_terminate_backend(pid) from pg_stat_activity where query like 'commit%' and pid <> pg_backend_pid()" >/dev/null
	wait_for "a denial" 30 denied 1
	exec 8>&-
	wait_for "the end of the lock" 30 gone lock
	ended 1 commit
	[[ $(counts) == '0 0 0 ' ]]
	[[ $(last) == *'it ended in what the others have not been sent: 57P01'* ]]
	# Plainly, all go.
	run sql -c 'select pg_terminate_backend(pg_backend_pid())'
	[[ $status == 2 && $output == *'FATAL:  terminating connection due to administrator command'* && $output != *RDDR* ]]
	denied 1
}

# pipeline [STATEMENT]: a block in one pipeline, of which the client reads nothing before all of it is sent.
pipeline() {
	printf '%s\n' '\startpipeline' 'begin;' 'insert into t values (1);' "${1:-select * from odd;}" 'commit;' '\endpipeline' >"$RDDR_TMP/pipeline.sql"
	pg pgbench -n -M "${2:-extended}" -f "$RDDR_TMP/pipeline.sql" -c 1 -t "${3:-1}"
}

@test "a block in a pipeline is not committed before all of it was compared; one in a single Query is" {
	LEAD=1s three
	pipeline 'select count(*) from odd;' extended 20
	pipeline 'select count(*) from odd;' prepared 20
	pg_untroubled
	[[ $(counts) == '40 40 40 ' ]]
	pg_each sql -c 'truncate t'
	odd
	run pipeline
	[[ $status != 0 && $output == *FATAL*'do not agree'* ]]
	run pipeline '' prepared
	[[ $status != 0 && $output == *FATAL*'do not agree'* ]]
	denied 2
	wait_for "nobody at the servers" 30 settled
	[[ $(counts) == '0 0 0 ' ]]
	# As the manual says.
	run sql -c 'begin; insert into t values (1); select * from odd; commit'
	[[ $status != 0 ]]
	wait_for "nobody at the servers" 30 settled
	[[ $(counts) == '1 1 1 ' ]]
}

@test "cancelled before the others were sent it: it is done by none; in a block the session ends, and nothing of it is left" {
	three
	at_terminal early
	tell "insert into t select 1 from pg_sleep(60);"
	wait_for "the statement" 30 is_at 'insert into t'
	ctrl_c
	wait_for "its end" 30 grep -q 'canceling statement due to user request' "$RDDR_TMP/early.log"
	tell "select 'go' || 'es on';"
	wait_for "what comes next" 30 grep -q 'goes on' "$RDDR_TMP/early.log"
	exec 7>&-
	wait_for "its end" 30 gone early
	pg_untroubled
	[[ $(counts) == '0 0 0 ' && $(counter pg plugin_unsent) == 1 && $(counter pg plugin_cancels) == 1 ]]
	at_terminal block
	tell 'begin; insert into t values (1);'
	tell 'insert into t select 2 from pg_sleep(60);'
	wait_for "the statement" 30 is_at 'insert into t select 2'
	ctrl_c
	ended 1 block
	[[ $(counts) == '0 0 0 ' ]]
	[[ $(last) == *'it was cancelled in what the others have not been sent'* ]]
	# The others' own ends of a statement are no requests of the client's.
	run sql -c "set statement_timeout = '200ms'" -c 'select pg_sleep(60)'
	[[ $output == *'canceling statement due to statement timeout'* ]]
	denied 1
}

@test "notifications that come to one later than to the others, with nothing else to say, deny nobody" {
	PG_SKEW=4s three
	client ear
	tell "listen news; select 'listen' || 'ing';"
	wait_for "the listener" 30 grep -q listening "$RDDR_TMP/ear.log"
	for P in 5501 5502; do
		P=$P sql -c "notify news, 'now'"
	done
	# Longer than skew.
	sleep 6
	P=5500 sql -c "notify news, 'now'"
	tell "select 'aga' || 'in';"
	wait_for "the notification" 30 grep -q 'notification "news" with payload "now"' "$RDDR_TMP/ear.log"
	grep -q again "$RDDR_TMP/ear.log"
	pg_untroubled
	exec 7>&-
}
