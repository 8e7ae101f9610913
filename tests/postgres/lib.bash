# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Real PostgreSQL servers under test: their data directories are clones of one, so that OIDs agree. For bats: `load lib` and
# `load postgres/lib`, then `topology_up 0` and `pg_cluster 15 15 15`.

PG_ROOT="$RDDR_ROOT/tests/postgres"

# pg_bin VERSION: the folder of a version's programs: Debian's, or else from npm.
pg_bin() {
	if [[ -x /usr/lib/postgresql/$1/bin/postgres ]]; then
		echo "/usr/lib/postgresql/$1/bin"
	else
		echo "$PG_NPM/pg$1/native/bin"
	fi
}

# pg_as CMD...: a server does not run as root.
pg_as() { setpriv --reuid postgres --regid postgres --clear-groups -- "$@"; }

# pg_init DIR VERSION [ARGS]: a data directory.
pg_init() {
	local dir=$1 bin
	bin=$(pg_bin "$2")
	shift 2
	install -d -o postgres -g postgres -m 755 "$(dirname "$dir")" || return
	chmod a+rx "$RDDR_TMP"
	pg_as env -C / "$bin/initdb" -D "$dir" -U postgres -A trust --no-sync --locale=C.UTF-8 --encoding=UTF8 "$@" >"$RDDR_TMP/initdb.log" 2>&1 || {
		tail -n 5 "$RDDR_TMP/initdb.log" >&2
		return 1
	}
	cat >>"$dir/postgresql.conf" <<-END
		listen_addresses = '127.0.0.1'
		unix_socket_directories = ''
		fsync = off
		max_connections = 60
		shared_buffers = 16MB
		max_prepared_transactions = 4
		autovacuum = off
		log_timezone = UTC
		timezone = UTC
		${PG_CONF:-}
	END
}

# pg_clone FROM TO: the same data, sequences and OIDs.
pg_clone() { cp -a "$1" "$2"; }

# pg_start I VERSION: the server of instance I, from $RDDR_TMP/pg/I, on port 5500+I.
pg_start() {
	local i=$1 bin
	bin=$(pg_bin "$2")
	spawn "pg$i" g setpriv --reuid postgres --regid postgres --clear-groups -- env -C / "$bin/postgres" -D "$RDDR_TMP/pg/$i" -p "$((5500 + i))" || return
	wait_tcp g 127.0.0.1 "$((5500 + i))" && wait_for "server $i" 30 pg_ready "$i" || {
		tail -n 10 "$RDDR_TMP/pg$i.log" >&2
		return 1
	}
}
pg_ready() { in_ns g /usr/lib/postgresql/15/bin/pg_isready -q -h 127.0.0.1 -p "$((5500 + $1))"; }
pg_stop() { stop "pg$1" INT; }

# pg_cluster VERSION...: a server of each; those of one version have clones of one directory.
pg_cluster() {
	local i=0 v
	declare -A first=()
	for v in "$@"; do
		if [[ -z ${first[$v]:-} ]]; then
			pg_init "$RDDR_TMP/pg/$i" "$v" || return
			first[$v]=$i
		else
			pg_clone "$RDDR_TMP/pg/${first[$v]}" "$RDDR_TMP/pg/$i" || return
		fi
		i=$((i + 1))
	done
	PG_N=$i
	i=0
	for v in "$@"; do
		pg_start "$i" "$v" || return
		i=$((i + 1))
	done
}

# pg_rddr [LINES]: a daemon at port 5432 in front of all of them.
pg_rddr() {
	local i
	{
		printf 'workers: 2\nevidence: { file: %s }\nservices:\n  pg:\n    listen: 127.0.0.1:5432\n    diff-class: postgres\n' "$RDDR_TMP/evidence.jsonl"
		printf '    deadlines: { connect: 20s, skew: %s, idle: 120s }\n    instances:\n' "${PG_SKEW:-20s}"
		for ((i = 0; i < ${PG_N:-3}; i++)); do
			printf '      - { name: pg%s, chainer: directed, remote: "127.0.0.1:%s" }\n' "$i" "$((5500 + i))"
		done
		[[ -z ${1:-} ]] || sed 's/^/    /' <<<"$1"
	} >"$RDDR_TMP/rddr.yaml"
	start_rddrd "$RDDR_TMP/rddr.yaml" ${PG_RDDRD_ARGS:-}
}

# A client, through RDDR, or with P=5500 at instance 0 directly.
export PGUSER=postgres PGDATABASE=postgres PGHOST=127.0.0.1 PGCONNECT_TIMEOUT=60
pg() {
	local program=$1
	shift
	in_ns g env PGPORT="${P:-5432}" "/usr/lib/postgresql/15/bin/$program" "$@"
}
sql() { pg psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
pg_each() {
	local i
	for ((i = 0; i < PG_N; i++)); do
		P=$((5500 + i)) "$@" || return
	done
}

pg_records() { ctl --json evidence --limit 100 | jq -c '.evidence[] | {reason, where, why, minority}'; }
pg_untroubled() {
	if (($(counter pg denied))); then
		say "denied: $(pg_records)"
		return 1
	fi
}
