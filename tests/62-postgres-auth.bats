#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Logging in to real PostgreSQL servers through RDDR, which ends the exchange on both sides: each server has salts and nonces of its own.
# Users are named after what pg_hba.conf demands of them; those of the clones have the same secrets, salts included.

setup() {
	load lib
	load postgres/lib
	topology_up 0
	auth_template
}
teardown() { topology_down; }

SUE='correct horse 7battery staple'
declare -gA PASSWORDS=([tess]=tesspass7 [pam]=pampass7 [mike]=mikepass7 [sue]=$SUE [max]=maxpass7 [mona]=monapass7)

# The users are made once for all tests of the file, without a server: in single-user mode.
auth_template() {
	local user
	pg_template 15
	[[ ! -e $PG_TEMPLATE/users ]] || return 0
	{
		for user in tess pam sue max; do
			echo "CREATE ROLE $user LOGIN PASSWORD '${PASSWORDS[$user]}';"
		done
		echo "SET password_encryption = 'md5';"
		for user in mike mona; do
			echo "CREATE ROLE $user LOGIN PASSWORD '${PASSWORDS[$user]}';"
		done
	} | pg_as env -C / "$(pg_bin 15)/postgres" --single -j -D "$PG_TEMPLATE" postgres >"$RDDR_TMP/single.log" 2>&1
	touch "$PG_TEMPLATE/users"
}

# What instance I demands.
hba() {
	local i=$1 mixed
	mixed=(scram-sha-256 password trust)
	cat >"$RDDR_TMP/pg/$i/pg_hba.conf" <<-END
		host all postgres,tess all trust
		host all pam all password
		host all mike all md5
		host all max all ${mixed[i % 3]}
		host all mona all $([[ $i == 0 ]] && echo md5 || echo "${mixed[i % 3]}")
		host all sue,nobody all scram-sha-256
	END
}

cluster() {
	local i
	for i in 0 1 2; do
		pg_data "$i" 15
		hba "$i"
	done
	for i in 0 1 2; do
		pg_start "$i" 15
	done
}

credentials() { install -m 600 /dev/stdin "$RDDR_TMP/credentials"; }
plain_credentials() {
	local user
	for user in "${!PASSWORDS[@]}"; do
		printf '%s %s\n' "$user" "${PASSWORDS[$user]}"
	done | credentials
}
with_credentials() { pg_rddr "diff-params: { credentials: $RDDR_TMP/credentials${1:+, $1} }"; }

# as USER [PASSWORD]: who the servers say that is.
as() { PGUSER=$1 PGPASSWORD=${2-${PASSWORDS[$1]}} sql -w -c 'select current_user'; }

# refused USER PASSWORD TEXT: the client is told so, and nothing else is.
refused() {
	run as "$1" "$2"
	[ "$status" -eq 2 ]
	[[ $output == *"FATAL:  "*"$3"* ]] || {
		say "$output"
		return 1
	}
}

# Nothing that is secret stands in what the daemon wrote or says. The debug log is the longest.
no_secrets() {
	local word words
	words=("${PASSWORDS[@]}" SCRAM-SHA-256 "$@")
	ctl evidence --limit 100 >"$RDDR_TMP/said" || return
	ctl --json evidence --limit 100 >>"$RDDR_TMP/said" || return
	for word in status services sessions; do
		ctl --json "$word" >>"$RDDR_TMP/said" || return
	done
	ctl --json counters --all >>"$RDDR_TMP/said" || return
	for word in "${words[@]}"; do
		! grep -qaF -- "$word" "$RDDR_TMP/said" "$RDDR_TMP/evidence.jsonl" "$RDDR_TMP/rddrd.log" || {
			say "there is a secret: $(grep -aF -- "$word" "$RDDR_TMP/said" "$RDDR_TMP/evidence.jsonl" "$RDDR_TMP/rddrd.log")"
			return 1
		}
	done
}

@test "every method, and mixed ones, with plain secrets; a wrong password is refused as a server does" {
	cluster
	plain_credentials
	PG_RDDRD_ARGS='--log-level debug' with_credentials
	for user in tess pam mike sue max mona; do
		[ "$(as "$user")" = "$user" ]
	done
	# By itself each demands what it demands: with max nothing goes out weaker than instance 0 wants it.
	for user in pam mike sue max mona; do
		refused "$user" wrongpass7 "password authentication failed for user \"$user\""
	done
	pg_untroubled
	[ "$(counter pg plugin_logins)" -eq 6 ]
	[ "$(counter pg plugin_logins_refused)" -eq 5 ]
	# One salt for the clones, so one derivation for the three and the client: sue and max.
	[ "$(counter pg offloaded)" -ge 2 ]
	no_secrets wrongpass7
}

@test "the servers' own secrets do: SCRAM is learnt from the client's proof, md5 is passed on" {
	cluster
	P=5500 sql -c "select rolname || ' ' || rolpassword from pg_authid where rolname in ('sue', 'mike', 'max', 'mona')" | credentials
	with_credentials
	[ "$(as sue)" = sue ]
	[ "$(as mike)" = mike ]
	refused sue wrongpass7 "password authentication failed"
	refused mike wrongpass7 "password authentication failed"
	# A server that wants the password in clear cannot be served with these.
	refused max "${PASSWORDS[max]}" "the credentials hold no plain password"
	# Nothing was derived.
	[ "$(counter pg offloaded)" -eq 0 ]
	[ "$(as tess '')" = tess ]
	# Another salt at one of them.
	P=5502 sql -c "alter role sue password '$SUE'"
	refused sue "$SUE" "the SCRAM secret in the credentials has another salt or count than the server's"
	pg_untroubled
	no_secrets "$(cut -d: -f3 <"$RDDR_TMP/credentials" | grep . | head -n 1)"
}

@test "without credentials the client is told what is missing, and what needs none works" {
	cluster
	pg_rddr
	refused sue "$SUE" "RDDR: a server demands scram-sha-256 of user \"sue\", and RDDR has no credentials to log in with: diff-params.credentials is not set"
	refused mike mikepass7 "diff-params.credentials is not set"
	[ "$(as tess '')" = tess ]
	# In clear it can be passed on as it is, and the servers judge it.
	[ "$(as pam)" = pam ]
	refused pam wrongpass7 "password authentication failed for user \"pam\""
	pg_untroubled
	no_secrets
}

@test "a user who is not in the credentials looks like a wrong password" {
	cluster
	grep . <<<'sue wrongpass8' | credentials
	with_credentials
	refused sue "$SUE" "password authentication failed for user \"sue\""
	wrong=${output//sue/USER}
	refused max maxpass7 "password authentication failed for user \"max\""
	[ "${output//max/USER}" = "$wrong" ]
	refused nobody x "password authentication failed for user \"nobody\""
	[ "${output//nobody/USER}" = "$wrong" ]
}

@test "what is typed in clear, where the config says so, does for any method" {
	cluster
	pg_rddr 'diff-params: { client-auth: password }'
	for user in pam mike sue max mona; do
		[ "$(as "$user")" = "$user" ]
	done
	refused sue wrongpass7 "password authentication failed for user \"sue\""
	refused tess tesspass7 "diff-params.credentials is not set"
	no_secrets
}

@test "eight at once, each of them several times" {
	cluster
	plain_credentials
	with_credentials
	jobs=()
	for n in 1 2 3 4 5 6 7 8; do
		(
			user=$( ((n % 2)) && echo sue || echo mike)
			for _ in 1 2 3; do
				[ "$(as "$user")" = "$user" ] || exit 1
			done
		) &
		jobs+=($!)
	done
	failed=0
	for job in "${jobs[@]}"; do
		wait "$job" || failed=$((failed + 1))
	done
	[ "$failed" -eq 0 ]
	[ "$(counter pg plugin_logins)" -eq 24 ]
	pg_untroubled
}

@test "a divergence in the login shows nothing of it, one behind it shows what differs" {
	cluster
	plain_credentials
	PG_RDDRD_ARGS='--log-level debug' with_credentials
	P=5502 sql -c "alter role sue password 'anotherpass7'"
	run as sue
	[ "$status" -eq 2 ]
	[[ $output == *"do not agree"* ]]
	wait_for "evidence" 10 grep -q '"login"' "$RDDR_TMP/evidence.jsonl"
	[ "$(pg_records | jq -r .minority)" = pg2 ]
	no_secrets anotherpass7
	# Instances have ports of their own.
	run env PGUSER=max PGPASSWORD=maxpass7 bash -c 'true'
	PGUSER=max PGPASSWORD=maxpass7 run sql -c 'select inet_server_port()'
	[ "$status" -ne 0 ]
	wait_for "evidence" 10 grep -q 5502 "$RDDR_TMP/evidence.jsonl"
	no_secrets
}

@test "credentials are read anew by a reload, and refused when others may read them" {
	cluster
	echo 'sue wrongpass8' | credentials
	with_credentials
	refused sue "$SUE" "password authentication failed"
	echo "sue $SUE" | credentials
	refused sue "$SUE" "password authentication failed"
	ctl reload
	[ "$(as sue)" = sue ]
	chmod 644 "$RDDR_TMP/credentials"
	run ctl reload
	[ "$status" -ne 0 ]
	# The log is written beside everything else.
	wait_for "the complaint" 20 grep -q "$RDDR_TMP/credentials has mode 0644: it holds secrets, so it has to be 0600" "$RDDR_TMP/rddrd.log"
	[ "$(as sue)" = sue ]
	echo 'sue "x' | credentials
	run ctl reload
	[ "$status" -ne 0 ]
	wait_for "the complaint" 20 grep -q "$RDDR_TMP/credentials: line 1: a quote does not end" "$RDDR_TMP/rddrd.log"
	no_secrets
}

@test "an instance that demands what is not allowed is sent nothing" {
	cluster
	plain_credentials
	with_credentials 'instance-auth: [scram-sha-256, md5]'
	[ "$(as sue)" = sue ]
	refused pam pampass7 "a server demands password of user \"pam\", which diff-params.instance-auth does not allow"
	refused tess '' "a server demands trust of user \"tess\", which diff-params.instance-auth does not allow"
}

@test "report mode: the client logs in at instance 0, RDDR at the others; one that refuses is reported, and nobody notices" {
	cluster
	plain_credentials
	pg_rddr "diff-params: { credentials: $RDDR_TMP/credentials }"$'\nenforcing: false'
	for user in tess pam mike sue max mona tess pam mike sue max mona; do
		[ "$(as "$user")" = "$user" ]
	done
	for user in pam mike sue max mona; do
		refused "$user" wrongpass7 "password authentication failed for user \"$user\""
	done
	[ "$(counter pg reported)" -eq 0 ] || { pg_records; return 1; }
	sed -i 's/postgres,tess all trust/postgres,tess all reject/' "$RDDR_TMP/pg/2/pg_hba.conf"
	pg_stop 2
	pg_start 2 15
	# Often enough that the refusal comes behind the client's first query, too.
	for _ in {1..20}; do
		[ "$(as tess)" = tess ]
	done
	wait_for "the reports" 30 counted 20
	[ "$(pg_records | jq -r '.where + ": " + .why + ": " + .minority' | sort -u)" = "login: it refuses the login, which others do not: pg2" ]
	no_secrets
}
counted() { [ "$(counter pg reported)" -eq "$1" ]; }
