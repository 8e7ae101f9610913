#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# TLS by SSLRequest: with the client and, on its own terms, with each of real PostgreSQL servers.

bats_require_minimum_version 1.5.0

setup() {
	load lib
	load postgres/lib
	topology_up 0
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 \
		-keyout "$RDDR_TMP/key.pem" -out "$RDDR_TMP/chain.pem" 2>"$RDDR_TMP/openssl.log"
}
teardown() { topology_down; }

# The servers take nothing but TLS, and SCRAM, from sue.
cluster() {
	local i
	pg_template 15
	if [[ ! -e $PG_TEMPLATE/users ]]; then
		echo "CREATE ROLE sue LOGIN PASSWORD 'suepass7';" |
			pg_as env -C / "$(pg_bin 15)/postgres" --single -j -D "$PG_TEMPLATE" postgres >"$RDDR_TMP/single.log" 2>&1
		touch "$PG_TEMPLATE/users"
	fi
	for i in 0 1 2; do
		pg_data "$i" 15
		install -o postgres -m 600 "$RDDR_TMP/key.pem" "$RDDR_TMP/pg/$i/server.key"
		install -o postgres -m 600 "$RDDR_TMP/chain.pem" "$RDDR_TMP/pg/$i/server.crt"
		echo "ssl = on" >>"$RDDR_TMP/pg/$i/postgresql.conf"
		printf 'hostssl all sue all scram-sha-256\nhost all postgres all trust\n' >"$RDDR_TMP/pg/$i/pg_hba.conf"
	done
	for i in 0 1 2; do
		pg_start "$i" 15
	done
}

# tls LONE MANY: how either side begins.
tls() {
	install -m 600 /dev/stdin "$RDDR_TMP/credentials" <<<'sue suepass7'
	pg_rddr "diff-params: { credentials: $RDDR_TMP/credentials }
tls:
  lone: { certificates: { chain: $RDDR_TMP/chain.pem, key: $RDDR_TMP/key.pem }, start: $1 }
  many: { ca: $RDDR_TMP/chain.pem, start: required }"
}

sue() { PGUSER=sue PGPASSWORD=suepass7 PGSSLMODE=$1 PGSSLROOTCERT=$RDDR_TMP/chain.pem sql -w -c 'select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()'; }

@test "encrypted on both sides, and to the servers alone where the client does not ask for it" {
	cluster
	tls offered
	[ "$(sue verify-full)" = "sue|t" ]
	[ "$(sue disable)" = "sue|t" ]
	[ "$(PGSSLMODE=verify-full PGSSLROOTCERT=$RDDR_TMP/chain.pem sql -c 'select sum(i) from generate_series(1, 100000) i')" = 5000050000 ]
	pg_untroubled
}

@test "a client that has to ask for encryption and does not is told so" {
	cluster
	tls required
	run sue disable
	[ "$status" -eq 2 ]
	[[ $output == *"FATAL:  RDDR: this service takes encrypted connections only"* ]]
	[ "$(sue require)" = "sue|t" ]
	pg_untroubled
}

@test "an instance that does not speak TLS, and has to, is a divergence; nothing is sent to it in clear" {
	cluster
	pg_stop 2
	sed -i 's/^ssl = on/ssl = off/; ' "$RDDR_TMP/pg/2/postgresql.conf"
	behind_relay
	echo 'host all all all trust' >"$RDDR_TMP/pg/7/pg_hba.conf"
	pg_start 7 15
	tls offered
	run sue require
	[ "$status" -eq 2 ]
	[[ $output == *"do not agree"* ]]
	pg_records | grep -q 'it does not speak TLS'
	# The request for TLS, and the answer.
	[ "$(said)" = "> 00 00 00 08 04 d2 16 2f< 4e" ]
}

# The server of instance 2 is at port 5507, and what it is sent goes through a relay that writes it down.
behind_relay() {
	mv "$RDDR_TMP/pg/2" "$RDDR_TMP/pg/7"
	pg_relay 5502 127.0.0.1:5507
}

@test "a request to cancel goes to the servers encrypted, too" {
	cluster
	pg_stop 2
	behind_relay
	pg_start 7 15
	tls offered
	PGUSER=sue PGPASSWORD=suepass7 PGSSLMODE=require spawn sleeper g /usr/lib/postgresql/15/bin/psql -X -w -p 5432 -c 'select pg_sleep(100000)'
	wait_for "three sleepers" 30 sleepers 1
	signal sleeper INT
	wait_for "its end" 30 gone sleeper
	log_of sleeper | grep -q 'canceling statement due to user request'
	wait_for "no sleepers" 30 sleepers 0
	[ "$(counter pg plugin_cancels)" -eq 1 ]
	pg_untroubled
	# Two connections, each of which asks for TLS; the rest of them is records of it, and not the request.
	[ "$(said | grep -o '> 00 00 00 08 04 d2 16 2f' | wc -l)" -eq 2 ]
	run -1 grep -q '04 d2 16 2e' <<<"$(said)"
}
sleepers() {
	local port
	for port in 5500 5501 5507; do
		[[ $(P=$port sql -c "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'") == "$1" ]] || return
	done
}
gone() { ! alive "$1"; }
