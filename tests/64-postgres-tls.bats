#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# TLS by SSLRequest: with the client and, on its own terms, with each of real PostgreSQL servers.

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
	echo 'host all all all trust' >"$RDDR_TMP/pg/2/pg_hba.conf"
	pg_start 2 15
	tls offered
	run sue require
	[ "$status" -eq 2 ]
	[[ $output == *"do not agree"* ]]
	pg_records | grep -q 'it does not speak TLS'
}
