# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# One PostgreSQL with three instances of an application in front of it, each on a host of its own. For bats: `load lib`, `load postgres/lib` and
# `load postgres/outgoing`.

POSTGRES_JS="$RDDR_ROOT/tests/apps/outgoing/postgres.js"

# outgoing_up: everything but the daemon.
# Instances on the server hosts 0 to 2, the backend on host 3; clients reach the instances by RDDR, too.
outgoing_up() {
	topology_up 4
	pg_npm
	pg_data 0 15
	cat >>"$RDDR_TMP/pg/0/postgresql.conf" <<-END
		listen_addresses = '*'
		password_encryption = 'scram-sha-256'
		log_statement = 'all'
		log_connections = on
	END
	printf 'local all all trust\nhost all postgres all trust\nhost all all all scram-sha-256\n' >"$RDDR_TMP/pg/0/pg_hba.conf"
	database
	sql "CREATE ROLE app LOGIN PASSWORD 'secret'" -c "CREATE DATABASE shop OWNER app"
	on_shop "CREATE TABLE orders (id int, value text, note text, seen text DEFAULT host(inet_client_addr())); ALTER TABLE orders OWNER TO app"
	printf 'app secret\n' >"$RDDR_TMP/credentials"
	chmod 600 "$RDDR_TMP/credentials"
}
# database: starts the server.
database() {
	spawn pg s3 setpriv --reuid postgres --regid postgres --clear-groups -- env -C / "$(pg_bin 15)/postgres" -D "$RDDR_TMP/pg/0" -p 5432
	wait_tcp s3 0.0.0.0 5432
	wait_for "the database" 60 in_ns s3 /usr/lib/postgresql/15/bin/pg_isready -q -h 127.0.0.1
}
# sql COMMAND [ARGS]: as the superuser, not by RDDR.
sql() {
	local command=$1
	shift
	in_ns s3 psql -X -q -A -t -v ON_ERROR_STOP=1 -h 127.0.0.1 -U postgres -c "$command" "$@"
}
on_shop() { sql "$1" -d shop; }

# config [LINES [PARAMS]]: of the outgoing service. REPORTS=1: nothing is enforced.
# shellcheck disable=SC2001 # sed indents lines, which an expansion cannot
config() {
	local enforcing=true
	[[ -z ${REPORTS:-} ]] || enforcing=false
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		workers: 2
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		services:
		  front:
		    intercept: { address: $(server4 0), port: 8000, interface: eth-c }
		    instances:
		      - { name: one,   chainer: transparent, forge-addr: true }
		      - { name: two,   chainer: directed, remote: "$(server4 1):8000", forge-addr: true }
		      - { name: three, chainer: directed, remote: "$(server4 2):8000", forge-addr: true }
		    diff-class: http
		    enforcing: $enforcing
		    deadlines: { connect: 30s, skew: 30s, idle: 120s }
		  back:
		    direction: outgoing
		    intercept: { address: [$(server4 3), "$(server6 3)"], port: 5432 }
		    instances:
		      - { name: one,   clients: [$(server4 0), "$(server6 0)"] }
		      - { name: two,   clients: [$(server4 1), "$(server6 1)"] }
		      - { name: three, clients: [$(server4 2), "$(server6 2)"] }
		    diff-class: postgres
		    diff-params: { credentials: $RDDR_TMP/credentials${2:+, $2} }
		    enforcing: $enforcing
		    deadlines: { connect: 30s, skew: 30s, idle: 120s }
		$(sed 's/^/    /' <<<"${1:-gather: { partner: 20s \}}")
	END
}

steered() { [[ $(ctl --json status | jq -r .steering.state) == attached ]]; }
begin() {
	attach
	start_rddrd "$RDDR_TMP/rddr.yaml"
	wait_for "steering" 20 steered
}

# apps [TAMPERED]: instance TAMPERED writes what it should not.
apps() {
	local i address=${BACKEND:-$(server4 3)}
	for i in 0 1 2; do
		spawn "app-$i" "s$i" env NODE_PATH="$PG_NPM" NOISE="${NOISE:-}" node "$POSTGRES_JS" app 0.0.0.0 8000 "$address" 5432 10 \
			${1:+$([[ $1 == "$i" ]] && echo tamper)}
		wait_tcp "s$i" 0.0.0.0 8000
	done
}

drive() { in_ns c env NODE_PATH="$PG_NPM" node "$POSTGRES_JS" drive "$(server4 0)" 8000 "$@"; }
last() { ctl --json evidence --limit 1 | jq -r ".evidence[0] | $1"; }
figures() { ctl --json counters | jq -c '.services.back | with_entries(select(.value > 0))'; }

# once FIRST COUNT [SOURCE]: each number was written once, with its value, by the source; what was rolled back was not.
once() {
	local expected
	expected=$(seq "$1" $(($1 + $2 - 1)) | awk -v from="${3:-$(server4 0)}" '$1 % 8 { print $1 " value-" $1 " " from }')
	diff <(on_shop "SELECT id || ' ' || value || ' ' || seen FROM orders ORDER BY id") - <<<"$expected" >"$RDDR_TMP/diff" ||
		{ say "$(head -n 10 "$RDDR_TMP/diff")"; return 1; }
}

# three_psql ARGS...: the same at each of the instances' hosts; what it printed is in the log of psql-I.
three_psql() {
	local i
	for i in 0 1 2; do one_psql "$i" "$@"; done
	wait_for "psql" 60 _psql_ended
}
# one_psql I ARGS...
one_psql() {
	local i=$1
	shift
	rm -f "$RDDR_TMP/psql-$i.log"
	spawn "psql-$i" "s$i" env PGPASSWORD="${PASSWORD:-secret}" PGCONNECT_TIMEOUT=60 psql -X -q -A -t -h "$(server4 3)" -U app -d shop "$@"
}
# three_programs PROGRAM ARGS...: of libpq, at each of the instances' hosts.
three_programs() {
	local i
	for i in 0 1 2; do
		rm -f "$RDDR_TMP/psql-$i.log"
		spawn "psql-$i" "s$i" env PGPASSWORD=secret PGUSER=app PGHOST="$(server4 3)" PGDATABASE=shop "$@"
	done
	wait_for "the programs" 120 _psql_ended
}
_psql_ended() { ! alive psql-0 && ! alive psql-1 && ! alive psql-2; }
all_printed() {
	local i
	for i in 0 1 2; do
		[[ $(log_of "psql-$i") == "$1" ]] || { say "psql $i printed: $(log_of "psql-$i")"; return 1; }
	done
}
logins() { grep -c "connection authorized: user=app" "$RDDR_TMP/pg.log"; }

# three_run PROGRAM [FILE]: in the background, on each of the instances' hosts.
three_run() {
	local i names=(one two three)
	for i in 0 1 2; do
		rm -f "$RDDR_TMP/psql-$i.log"
		spawn "psql-$i" "s$i" env NODE_PATH="$PG_NPM" node "$POSTGRES_JS" run "$(server4 3)" 5432 "$1" "${names[i]}" "${2:-}"
	done
}
ended() { wait_for "the programs" 60 _psql_ended; }
_all_ready() { [[ $(cat "$RDDR_TMP"/psql-?.log | grep -cx "${1:-ready}") == 3 ]]; }
sessions() { ctl --json status | jq .sessions; }
backends() { sql "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'"; }
no_backends() { [[ $(backends) == 0 ]]; }
