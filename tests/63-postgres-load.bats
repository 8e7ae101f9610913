#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2030,SC2031,SC2154 # bats runs each test in a shell of its own
# diff-class postgres under load: three real servers, clones of one data directory, and pgbench. No false alarm where the manual promises none, and
# where it does not, nothing but what it names. The figures are printed, and stand in rddr-postgres(7).

bats_require_minimum_version 1.5.0
load lib
load postgres/lib

setup() {
	topology_up 0
	pg_cluster 15 15 15
	# What it loads differs in nothing but the time, and nobody reads that.
	pg_each pg pgbench -i -q -s 1 >"$RDDR_TMP/init" 2>&1
	in_order
}
teardown() { topology_down; }

# However slow the machine is, the leader's order is kept to: by default it is waited for no longer than a second.
in_order() { pg_rddr 'diff-params: { lead-time: 60s }'; }

# What it was asked for, ten times less under sanitizers.
scaled() { echo "$(($1 / RDDR_LOAD_SCALE))"; }
# bench OPTION...: sets DONE to the transactions that were done. One that hangs is ended; clients that were denied are no failure of pgbench's here.
bench() {
	local status=0
	pg pgbench -n "$@" >"$RDDR_TMP/bench" 2>&1 || status=$?
	DONE=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$RDDR_TMP/bench")
	if [[ $status -gt 2 || -z $DONE ]]; then
		say "pgbench: $(tail -n 5 "$RDDR_TMP/bench")"
		return 1
	fi
}
figure() { echo "# figure: $*" >&3; }
# agree SQL: the three say the same of it.
agree() {
	local said
	said=$(pg_each sql -c "select md5(string_agg(t::text, '|' order by t::text)) from ($1) t" | sort -u)
	[[ $(wc -l <<<"$said") == 1 ]] || {
		say "not the same at all three: $1"
		return 1
	}
}
# Nothing waits for a lock, and no transaction was left open.
settled() {
	[[ $(pg_each sql -c "select count(*) from pg_stat_activity where pid <> pg_backend_pid() and (state = 'active' or state like 'idle in%')" | sort -u) == 0 ]]
}

@test "pgbench: 100,000 select-only with 8 clients and 10,000 TPC-B-like with 1: no false alarm; 10,000 with 8: no deadlock, and how many false alarms" {
	local n
	n=$(scaled 12500)
	bench -S -c 8 -t "$n"
	((DONE == 8 * n))
	pg_untroubled
	n=$(scaled 10000)
	bench -c 1 -t "$n"
	((DONE == n))
	pg_untroubled
	n=$(scaled 1250)
	bench -c 8 -t "$n"
	figure "TPC-B-like with 8 clients: $DONE transactions, $(counter pg denied) false alarms, $(counter pg plugin_conflicts) conflicts, $(counter pg leaders_outwaited) leaders outwaited"
	# It updates each row before it reads it, so whoever reads has the lock: this one agrees.
	((DONE == 8 * n))
	pg_untroubled
	agree 'select aid, abalance from pgbench_accounts'
	agree 'select * from pgbench_tellers'
	agree 'select * from pgbench_branches'
	# The time is each server's own.
	agree 'select tid, bid, aid, delta from pgbench_history'
}

# alarms NAME N STATEMENT: N rounds of 8 clients that do the script on stdin; each denial ends one of them. None is of anything but STATEMENT.
alarms() {
	local name=$1 rounds=$2 statement=$3 done=0 denied i
	cat >"$RDDR_TMP/$name.sql"
	denied=$(counter pg denied)
	for ((i = 0; i < rounds; i++)); do
		bench -c 8 -t 20 -f "$RDDR_TMP/$name.sql"
		done=$((done + DONE))
	done
	denied=$(($(counter pg denied) - denied))
	figure "$name with 8 clients: $done transactions, $denied false alarms"
	wait_for "nobody in a transaction" 60 settled
	# Evidence keeps the last ones.
	if pg_records | grep -vF "($statement"; then
		say "$name: something else was denied than $statement"
		return 1
	fi
	stop rddrd
	rm "$RDDR_TMP/evidence.jsonl"
	in_order
	((done + denied > 0))
}

@test "what is denied although nobody did anything wrong is what the manual names; what was written agrees" {
	pg_each sql -c 'create sequence ticket' -c 'create table own (k int primary key, n int)' -c 'insert into own select i, 0 from generate_series(0, 7) i'
	# Rows of one's own, in transactions and not.
	alarms "own rows" 3 'nothing' <<-'END'
		update own set n = n + 1 where k = :client_id returning n;
		begin;
		select n from own where k = :client_id;
		update own set n = n + 1 where k = :client_id;
		end;
	END
	# Rows that others write are read while they commit, here and there not at the same time.
	alarms "reads between commits" "$((5 / RDDR_LOAD_SCALE + 1))" 'select sum(abalance)' <<-'END'
		\set aid random(1, 1000)
		update pgbench_accounts set abalance = abalance + 1 where aid = :aid;
		select sum(abalance) from pgbench_accounts where aid <= 1000;
	END
	# With a lock they are read in the leader's order.
	alarms "reads under a lock" "$((3 / RDDR_LOAD_SCALE + 1))" 'nothing' <<-'END'
		\set aid random(1, 1000)
		begin;
		select bid from pgbench_branches where bid = 1 for update;
		update pgbench_accounts set abalance = abalance + 1 where aid = :aid;
		select sum(abalance) from pgbench_accounts where aid <= 1000;
		end;
	END
	alarms "one sequence" "$((3 / RDDR_LOAD_SCALE + 1))" 'select nextval' <<-'END'
		select nextval('ticket');
	END
	agree 'select * from own'
	agree 'select aid, abalance from pgbench_accounts'
	agree 'select last_value from ticket'
}
