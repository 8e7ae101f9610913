# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2001,SC2015 # sed indents lines; A && B || return is what it looks like
# Real PostgreSQL servers under test: their data directories are clones of one, so that OIDs agree. For bats: `load lib` and
# `load postgres/lib`, then `topology_up 0` and `pg_cluster 15 15 15`.

PG_ROOT="$RDDR_ROOT/tests/postgres"

# pg_bin VERSION: the folder of a version's programs: Debian's, or else from npm.
pg_bin() {
	if [[ -x /usr/lib/postgresql/$1/bin/postgres ]]; then
		echo "/usr/lib/postgresql/$1/bin"
	else
		[[ -n ${PG_NPM:-} ]] || pg_npm || return
		echo "$PG_NPM/pg$1/native/bin"
	fi
}

# pg_npm: sets PG_NPM to a folder with what the lock file says, installed once. Two that come at once: the second waits.
pg_npm() {
	local cache=${RDDR_CACHE:-/var/cache/rddr-tests} key lock tmp name
	key=$(cat "$PG_ROOT/package.json" "$PG_ROOT/package-lock.json" | sha256sum | cut -c1-16)
	PG_NPM=$cache/postgres-$key/node_modules
	[[ ! -d $PG_NPM ]] || return 0
	mkdir -p "$cache" || return
	exec {lock}>"$cache/postgres.lock"
	flock "$lock"
	if [[ ! -d $PG_NPM ]]; then
		tmp=$(mktemp -d "$cache/new.XXXXXX") || return
		cp "$PG_ROOT/package.json" "$PG_ROOT/package-lock.json" "$PG_ROOT/.npmrc" "$tmp" || return
		if ! (cd "$tmp" && npm ci --ignore-scripts) >"$tmp/npm.log" 2>&1; then
			say "npm: $(tail -n 20 "$tmp/npm.log")"
			rm -rf "$tmp"
			exec {lock}>&-
			return 1
		fi
		# Archives of npm have no links; each package says which it wants.
		for name in "$tmp"/node_modules/*/native/pg-symlinks.json; do
			jq -r '.[] | "\(.source) \(.target)"' "$name" | while read -r source target; do
				ln -sfr "${name%/native/*}/$source" "${name%/native/*}/$target"
			done
		done
		chmod -R a+rX "$tmp"
		chmod a+x "$tmp"/node_modules/*/native/bin/*
		mv "$tmp" "${PG_NPM%/node_modules}" || return
	fi
	exec {lock}>&-
}

# pg_as CMD...: a server does not run as root.
pg_as() { setpriv --reuid postgres --regid postgres --clear-groups -- "$@"; }

# pg_template VERSION: sets PG_TEMPLATE to a data directory of it, made once for all tests of a file.
pg_template() {
	local dir bin
	dir="${BATS_FILE_TMPDIR:-$RDDR_TMP}/pg-$1"
	PG_TEMPLATE=$dir
	[[ ! -d $dir ]] || return 0
	bin=$(pg_bin "$1") || return
	install -d -o postgres -g postgres -m 700 "$dir.new" || return
	if ! pg_reach "$dir.new" || ! pg_as env -C / "$bin/initdb" -D "$dir.new" -U postgres -A trust --no-sync --locale=C --encoding=UTF8 \
		>"$RDDR_TMP/initdb.log" 2>&1; then
		say "initdb: $(tail -n 5 "$RDDR_TMP/initdb.log")"
		return 1
	fi
	cat >>"$dir.new/postgresql.conf" <<-END
		listen_addresses = '127.0.0.1'
		unix_socket_directories = ''
		fsync = off
		max_connections = 60
		shared_buffers = 16MB
		max_wal_size = 128MB
		autovacuum = off
		log_timezone = UTC
		timezone = UTC
	END
	mv "$dir.new" "$dir"
}

# pg_reach PATH: the user of the servers may pass through the folders above it.
pg_reach() {
	local dir
	dir=$(dirname "$1")
	while [[ $dir != / && $dir != /tmp ]]; do
		chmod a+x "$dir" || return
		dir=$(dirname "$dir")
	done
}

# pg_data I VERSION: the data directory of instance I; those of one version are clones, so that their OIDs are the same.
pg_data() {
	pg_template "$2" || return
	mkdir -p "$RDDR_TMP/pg" && pg_reach "$RDDR_TMP/pg/$1" && cp -a "$PG_TEMPLATE" "$RDDR_TMP/pg/$1"
}

# pg_start I VERSION: the server of instance I, from $RDDR_TMP/pg/I, on port 5500+I.
pg_start() {
	local i=$1 bin
	bin=$(pg_bin "$2")
	spawn "pg$i" g setpriv --reuid postgres --regid postgres --clear-groups -- env -C / "$bin/postgres" -D "$RDDR_TMP/pg/$i" -p "$((5500 + i))" || return
	if ! wait_tcp g 127.0.0.1 "$((5500 + i))" || ! wait_for "server $i" 30 pg_ready "$i"; then
		tail -n 10 "$RDDR_TMP/pg$i.log" >&2
		return 1
	fi
}
pg_ready() { in_ns g /usr/lib/postgresql/15/bin/pg_isready -q -h 127.0.0.1 -p "$((5500 + $1))"; }
pg_stop() { stop "pg$1" INT; }

# pg_cluster VERSION...: a server of each, from clones of one data directory for each version.
pg_cluster() {
	local i=0 v
	for v in "$@"; do
		pg_data "$i" "$v" && pg_start "$i" "$v" || return
		i=$((i + 1))
	done
	PG_N=$i
}

# pg_config [LINES]: the config of a daemon at port 5432 in front of all of them.
pg_config() {
	local i
	{
		printf 'workers: 2\nevidence: { file: %s }\nservices:\n  pg:\n    listen: 127.0.0.1:5432\n    diff-class: postgres\n' "$RDDR_TMP/evidence.jsonl"
		printf '    deadlines: { connect: 20s, skew: %s, idle: 120s }\n    instances:\n' "${PG_SKEW:-20s}"
		for ((i = 0; i < ${PG_N:-3}; i++)); do
			printf '      - { name: pg%s, chainer: directed, remote: "127.0.0.1:%s" }\n' "$i" "$((5500 + i))"
		done
		[[ -z ${1:-} ]] || sed 's/^/    /' <<<"$1"
	} >"$RDDR_TMP/rddr.yaml"
}

# pg_rddr [LINES]: that daemon.
pg_rddr() {
	pg_config "$@"
	start_rddrd "$RDDR_TMP/rddr.yaml"
}

# A client, through RDDR, or with P=5500 at instance 0 directly.
export PGUSER=postgres PGDATABASE=postgres PGHOST=127.0.0.1 PGCONNECT_TIMEOUT=60
pg() {
	local program=$1
	shift
	in_ns g env PGPORT="${P:-5432}" "/usr/lib/postgresql/15/bin/$program" "$@"
}
sql() { pg psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
# pg_relay PORT SERVER: in the gateway's namespace, and said: who said what by it, in hexadecimal digits; all connections, one behind the other.
pg_relay() {
	spawn relay g socat -x "TCP-LISTEN:$1,bind=127.0.0.1,reuseaddr,fork" "TCP:$2"
	wait_tcp g 127.0.0.1 "$1"
}
said() { sed -n 's/^\([<>]\) .*/\1/p; /^ [0-9a-f]/p' "$RDDR_TMP/relay.log" | tr -d '\n'; }
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
