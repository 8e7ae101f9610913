#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# diff-class postgres in front of PostgreSQL of different versions: they agree on SQL, and a published vulnerability of one shows as a difference.

bats_require_minimum_version 1.5.0
load lib
load postgres/lib

setup() {
	pg_npm
	topology_up 0
}
teardown() { topology_down; }

# version I: the number that a server gives itself.
version() { P=$((5500 + $1)) sql -c 'show server_version'; }
tokens() {
	local i list=""
	for i in 0 1 2; do
		list+="${list:+, }\"$(version "$i")\""
	done
	echo "[[$list]]"
}
last() { pg_records | head -n 1; }

@test "versions 13, 15 and 17: 200 statements and pgbench's select-only agree, with tokens and defaults" {
	pg_cluster 15 13 17
	pg_rddr "diff-params: { tokens: $(tokens) }"
	[[ $(grep -c ';$' "$RDDR_ROOT/tests/postgres/statements.sql") == 200 ]]
	pg psql -X -a -f "$RDDR_ROOT/tests/postgres/statements.sql" >"$RDDR_TMP/rddr.out" 2>&1
	P=5500 pg psql -X -a -f "$RDDR_ROOT/tests/postgres/statements.sql" >"$RDDR_TMP/direct.out" 2>&1
	pg_untroubled
	diff "$RDDR_TMP/direct.out" "$RDDR_TMP/rddr.out"
	(($(grep -c 'ERROR: ' "$RDDR_TMP/rddr.out") >= 10))
	pg_each pg pgbench -i -q -s 1 >/dev/null 2>&1
	pg pgbench -n -S -c 4 -t 250 >"$RDDR_TMP/bench" 2>&1
	grep -q 'actually processed: 1000/1000' "$RDDR_TMP/bench"
	pg_untroubled
	# An error has the same routine and file everywhere, but not the same line there: that one is left out.
	before=$(counter pg plugin_rules_applied)
	run sql -c '\set VERBOSITY verbose' -c 'select * from nowhere'
	[[ $status != 0 && $output == *42P01* && $output == *'LOCATION:  parserOpenTable'* && ! $output =~ \.c:[0-9] ]]
	(($(counter pg plugin_rules_applied) > before))
	P=5500 run sql -c '\set VERBOSITY verbose' -c 'select * from nowhere'
	[[ $output =~ parse_relation\.c:[0-9] ]]
	# The version itself is a token where it stands by itself.
	[[ $(sql -c 'show server_version') == "$(version 0)" ]]
	run sql -c 'show server_version_num'
	[[ $status != 0 && $(last) == *server_version_num* ]]
}

# CVE-2023-2455: row security policies of another role stay in a function that was inlined into a plan. Fixed in 15.3.
@test "CVE-2023-2455: 15.1 shows rows of somebody else, 15.3 and Debian's 15 do not: nothing of it reaches the client" {
	local i
	pg_cluster 15.1 15.3 15
	for i in 0 1 2; do
		P=$((5500 + i)) sql <<-'END'
			create role alice login;
			create role bob login;
			create role anyone login;
			grant alice, bob to anyone;
			create table diary (line text);
			insert into diary values ('takings of the house');
			alter table diary enable row level security;
			grant select on diary to alice, bob;
			create policy hers on diary for select to alice using (true);
			create policy his on diary for select to bob using (false);
			create function lines() returns setof diary stable language sql as 'select * from diary';
		END
	done
	cat >"$RDDR_TMP/leak.sql" <<-'END'
		prepare q as select line from lines();
		set role alice;
		execute q;
		set role bob;
		\echo and bob:
		execute q;
	END
	# Asked directly, one shows it.
	[[ $(P=5500 PGUSER=anyone sql -f "$RDDR_TMP/leak.sql" | sed '1,/and bob/d') == "takings of the house" ]]
	[[ $(P=5501 PGUSER=anyone sql -f "$RDDR_TMP/leak.sql" | sed '1,/and bob/d') == "" ]]
	pg_rddr "diff-params: { tokens: $(tokens) }"
	[[ $(PGUSER=anyone sql -c 'set role alice' -c 'select * from lines()') == "takings of the house" ]]
	pg_untroubled
	PGUSER=anyone run sql -f "$RDDR_TMP/leak.sql"
	[[ $status != 0 && $output == *FATAL*reference* && ${output#*and bob} != *takings* ]]
	[[ $(last) == *'execute q'*'"minority":"pg0"'* ]]
}
