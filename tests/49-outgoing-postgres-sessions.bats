#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Outgoing services with PostgreSQL: what connections remember, logins, blocks, cancelling, TLS.

bats_require_minimum_version 1.5.0
load lib
load lib-tls
load postgres/lib
load postgres/outgoing

setup() { outgoing_up; }
teardown() { topology_down; }

# shellcheck disable=SC2016 # PostgreSQL's $user
@test "psql: settings, prepared statements, COPY, errors and blocks; a login without a partner; a wrong password" {
	config
	begin
	three_psql -c "SET search_path TO pg_catalog" -c "SHOW search_path" -c "SELECT 1/0" -c "PREPARE p AS SELECT 7" -c "EXECUTE p"
	all_printed $'pg_catalog\nERROR:  division by zero\n7'
	# What one group left behind is not what another finds.
	three_psql -c "SHOW search_path"
	all_printed '"$user", public'
	three_psql -c "BEGIN" -c "CREATE TEMP TABLE t (a int) ON COMMIT DROP" -c "COPY t FROM stdin" -c "ROLLBACK" </dev/null
	three_psql -c "\\copy orders (id, value) FROM PROGRAM 'seq 1 3 | sed s/\$/,copied/' (FORMAT csv)" \
		-c "\\copy orders (id) FROM PROGRAM 'echo none' (FORMAT csv)" -c "\\copy (SELECT id, value FROM orders ORDER BY id) TO STDOUT"
	all_printed $'ERROR:  invalid input syntax for type integer: "none"\nCONTEXT:  COPY orders, line 1, column id: "none"\n1\tcopied\n2\tcopied\n3\tcopied'
	[[ $(on_shop "SELECT count(*) FROM orders") == 3 ]]
	[[ $(counter back denied) == 0 ]]

	# One more connection of one of them: it gets in, and what it says goes nowhere.
	local before
	before=$(logins)
	one_psql 1 -c '\conninfo'
	wait_for "psql" 60 _psql_ended
	grep -q "You are connected" "$RDDR_TMP/psql-1.log"
	(($(counter back gather_alone) >= 1))
	[[ $(counter back partners_missing) == 0 && $(logins) == "$before" ]]
	config "gather: { partner: 3s }"
	ctl reload
	# Who has been told that a block has begun may think about it.
	three_psql -c "BEGIN" -c '\! sleep 4' -c "SELECT 5" -c "COMMIT"
	all_printed 5
	[[ $(counter back partners_missing) == 0 && $(counter back denied) == 0 ]]
	before=$(logins)
	one_psql 1 -c "DELETE FROM orders"
	wait_for "psql" 60 _psql_ended
	grep -qi "terminated\|reset\|closed" "$RDDR_TMP/psql-1.log"
	[[ $(last .reason) == missing && $(last '.instances[1].excerpt') == *DELETE* ]]
	[[ $(on_shop "SELECT count(*) FROM orders") == 3 && $(logins) == "$before" ]]

	# RDDR is the server that asks for the password.
	PASSWORD=wrong one_psql 2 -c "SELECT 1"
	wait_for "psql" 60 _psql_ended
	grep -q 'password authentication failed for user "app"' "$RDDR_TMP/psql-2.log"
	(($(counter back plugin_logins_refused) == 1))
	[[ $(logins) == "$before" ]]
}

# shellcheck disable=SC2016
@test "what a connection has been told goes with it: on another connection to the backend it is said again" {
	config "gather: { partner: 20s, idle: 500ms }"
	begin
	three_run settings "$RDDR_TMP/go"
	wait_for "the settings" 60 _all_ready
	# Nobody uses them, so they go.
	wait_for "the end of the pool" 30 no_backends
	touch "$RDDR_TMP/go"
	ended
	all_printed $'ready\nother, public\nUTC\nsecond\n42\n"$user", public'
	[[ $(counter back denied) == 0 ]]
	(($(grep -c "statement: SET search_path" "$RDDR_TMP/pg.log") >= 2))
	# The one that was rolled back, and the one that another has taken the place of, are not said again.
	[[ $(grep -c "statement: SET timezone" "$RDDR_TMP/pg.log") == 1 ]]
	[[ $(grep -c "statement: SET application_name TO 'first'" "$RDDR_TMP/pg.log") == 1 ]]
}

@test "a temporary table and LISTEN keep connections together; long statements; lastval of another connection is refused" {
	on_shop "CREATE TABLE numbered (id serial, value text); ALTER TABLE numbered OWNER TO app"
	config
	begin
	three_run sticks
	ended
	all_printed $'3\nhouse to everybody'
	[[ $(counter back denied) == 0 ]]
	three_run long
	ended
	all_printed "300000 600000"
	[[ $(counter back denied) == 0 ]]
	three_run remembers
	ended
	for i in 0 1 2; do [[ $(log_of "psql-$i") == $'true\n57000' ]] || { log_of "psql-$i"; false; }; done
	[[ $(last .why) == *lastval* ]]
}

@test "a request to cancel is one when all ask for it" {
	config
	begin
	three_run cancel "$RDDR_TMP/go"
	wait_for "the programs" 60 _all_ready
	wait_for "the sleep" 30 _sleeps
	touch "$RDDR_TMP/go"
	ended
	all_printed $'ready\n57014\n1'
	[[ $(counter back plugin_cancels) == 1 && $(counter back denied) == 0 ]]
}

@test "one that asks for something else in its startup packet is named, the first as any other" {
	config
	begin
	local i odd names=(one two three) before
	before=$(grep -c "user=app" "$RDDR_TMP/pg.log" || true)
	for odd in 0 2; do
		for i in 0 1 2; do
			PGOPTIONS="-c work_mem=$((i == odd ? 2 : 1))MB" one_psql "$i" -c "SELECT 1"
		done
		wait_for "psql" 60 _psql_ended
		for i in 0 1 2; do grep -q "FATAL:  RDDR: " "$RDDR_TMP/psql-$i.log"; done
		[[ $(last '.minority + ": " + .why') == "${names[odd]}: the startup packets differ in options"* ]]
	done
	[[ $(grep -c "user=app" "$RDDR_TMP/pg.log") == "$before" ]]
}

@test "a divergence in a block: nothing of it is left; the backend dies, and is there again" {
	config
	begin
	three_run differs
	ended
	for i in 0 1 2; do grep -q "^error 57000 RDDR: the servers behind this address do not agree" "$RDDR_TMP/psql-$i.log"; done
	[[ $(on_shop "SELECT count(*) FROM orders") == 0 ]]
	[[ $(last .minority) == three && $(last .why) == *'(3)'* ]]
	wait_for "the end of the block" 30 no_backends

	# Nothing of what was said is in the evidence where it is not to be.
	config "gather: { partner: 5s }" "redact: values"
	ctl reload
	three_run differs
	ended
	[[ $(last .minority) == three ]]
	run ! grep -q INSERT <(tail -n 1 "$RDDR_TMP/evidence.jsonl")
	one_psql 1 -c "DELETE FROM orders"
	wait_for "psql" 60 _psql_ended
	[[ $(last .reason) == missing ]]
	run ! grep -q DELETE <(tail -n 1 "$RDDR_TMP/evidence.jsonl")

	three_run slow
	wait_for "the write" 60 _all_ready written
	wait_for "the sleep" 30 _sleeps
	stop pg KILL
	ended
	for i in 0 1 2; do [[ $(log_of "psql-$i") == *error* && $(log_of "psql-$i") != *'?'* ]]; done
	# Nobody is there: what the instances see is what they would see without us.
	three_psql -c "SELECT 1"
	for i in 0 1 2; do grep -qi "error" "$RDDR_TMP/psql-$i.log"; done
	rm -f "$RDDR_TMP/pg/0/postmaster.pid"
	database
	three_psql -c "SELECT count(*) FROM orders"
	all_printed 1
	[[ $(sessions) == 0 ]]
}
_sleeps() { [[ $(sql "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300)%' AND usename = 'app'") == 1 ]]; }

# psql_at PORT ARGS...: in the gateway's namespace, to a port of the daemon's own.
psql_at() {
	local i=$1 port=$2
	shift 2
	rm -f "$RDDR_TMP/psql-$i.log"
	spawn "psql-$i" g env PGPASSWORD=secret PGCONNECT_TIMEOUT=60 PGSSLMODE="${SSLMODE:-prefer}" PGSSLROOTCERT="${SSLROOT:-}" \
		psql -X -q -A -t -h "${SSLHOST:-127.0.0.1}" -p "$port" -U app -d shop "$@"
}

@test "the original's form: one port for each variant" {
	cat >"$RDDR_TMP/original.yaml" <<-END
		addrlist: ["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"]
		filter: true
		incoming-proxy: { host: 127.0.0.1, port: 7000, protocol: tcp, diff-class: bytes }
		outgoing-proxies:
		  "$(server4 3):5432":
		    host: 127.0.0.1
		    ports: [7011, 7012, 7013]
		    protocol: tcp
		    diff-class: rddr_diff_builtins.RddrPostgresDiff
		    diff-params: { credentials: $RDDR_TMP/credentials }
		    enforcing: True
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		workers: 2
	END
	start_rddrd "$RDDR_TMP/original.yaml"
	local i round
	for round in 1 2 3; do
		for i in 0 1 2; do psql_at $i "701$((i + 1))" -c "INSERT INTO orders (id) VALUES ($round)" -c "SELECT count(*) FROM orders"; done
		ended
		all_printed "$round"
	done
	[[ $(counter "outgoing-$(server4 3)-5432" denied) == 0 ]]
}

@test "TLS by SSLRequest on both sides, on their own terms" {
	pki
	install -o postgres -g postgres -m 600 "$PKI/inst.key" "$RDDR_TMP/pg/0/server.key"
	install -o postgres -g postgres -m 600 "$PKI/inst.pem" "$RDDR_TMP/pg/0/server.crt"
	printf 'ssl = on\n' >>"$RDDR_TMP/pg/0/postgresql.conf"
	sed -i 's/^host all all all/hostssl all all all/' "$RDDR_TMP/pg/0/pg_hba.conf"
	stop pg INT
	database
	pg_relay 7099 "$(server4 3):5432"
	cat >"$RDDR_TMP/tls.yaml" <<-END
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		workers: 2
		services:
		  back:
		    direction: outgoing
		    instances: [ { listen: "127.0.0.1:7011" }, { listen: "127.0.0.1:7012" }, { listen: "127.0.0.1:7013" } ]
		    backend: { chainer: directed, remote: "127.0.0.1:7099" }
		    diff-class: postgres
		    diff-params: { credentials: $RDDR_TMP/credentials }
		    tls:
		      lone: { ca: $PKI/ca.pem, server-name: inst.test, start: required }
		      many: { certificates: { chain: $PKI/shop.pem, key: $PKI/shop.key }, start: offered }
		    deadlines: { connect: 20s, skew: 20s, idle: 60s }
		    gather: { partner: 20s, idle: 500ms }
	END
	start_rddrd "$RDDR_TMP/tls.yaml"
	local i
	# Two encrypted, one in clear: it is offered, not required.
	for i in 0 1; do SSLMODE=require psql_at $i "701$((i + 1))" -c "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()" -c '\conninfo'; done
	SSLMODE=disable psql_at 2 7013 -c "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()" -c '\conninfo'
	ended
	for i in 0 1; do
		grep -qx t "$RDDR_TMP/psql-$i.log"
		grep -q "^SSL connection" "$RDDR_TMP/psql-$i.log"
	done
	grep -qx t "$RDDR_TMP/psql-2.log"
	run ! grep -q "^SSL connection" "$RDDR_TMP/psql-2.log"
	[[ $(counter back denied) == 0 ]]
	# A login by RDDR itself, over TLS as well.
	wait_for "the end of the pool" 30 no_backends
	SSLMODE=verify-ca SSLROOT=$PKI/ca.pem psql_at 1 7012 -c '\conninfo'
	ended
	grep -q "^SSL connection" "$RDDR_TMP/psql-1.log"
	(($(counter back gather_alone) == 1))

	sed -i 's/start: offered/start: required/' "$RDDR_TMP/tls.yaml"
	ctl reload
	SSLMODE=disable psql_at 2 7013 -c "SELECT 1"
	ended
	run ! grep -qx 1 "$RDDR_TMP/psql-2.log"
	[[ $(last .why) == *"start: required"* ]]
	for i in 0 1 2; do SSLMODE=require psql_at $i "701$((i + 1))" -c "SELECT 2"; done
	ended
	all_printed 2

	# The instances' libpq asks to cancel in clear, whatever it speaks; RDDR asks the backend encrypted.
	for i in 0 1 2; do SSLMODE=require psql_at $i "701$((i + 1))" -c "SELECT pg_sleep(300)"; done
	wait_for "the sleep" 30 _sleeps
	for i in 0 1 2; do signal "psql-$i" INT; done
	ended
	for i in 0 1 2; do log_of "psql-$i" | grep -q 'canceling statement due to user request'; done
	[[ $(counter back plugin_cancels) == 1 ]]
	run -1 grep -q '04 d2 16 2e' <<<"$(said)"
	grep -q '> 00 00 00 08 04 d2 16 2f' <<<"$(said)"
}
