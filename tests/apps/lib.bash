# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Real applications under test: npm packages installed once for a lock file, servers in the gateway's namespace on loopback addresses,
# and a daemon that listens there by itself. For bats: `load lib` and `load apps/lib`, then `apps_up` and `topology_down`.

APPS_ROOT="$RDDR_ROOT/tests/apps"
# What an exploit is after; nobody can answer it by chance.
APP_SECRET="takings-$(cksum <<<"$RDDR_T$BASHPID" | cut -d' ' -f1)-of-the-house"
export APP_SECRET

# _npm_ci DIRECTORY: a registry may be slow to answer, or not do so at all for a moment.
_npm_ci() {
	local try
	for try in 1 2 3; do
		(cd "$1" && npm ci --ignore-scripts --prefer-offline --fetch-retries=1 --fetch-retry-mintimeout=2000) >"$1/npm.log" 2>&1 && return
		echo "attempt $try failed" >>"$1/npm.log"
	done
	return 1
}

# _npm_failed FILE: another test found out, a while ago.
_npm_failed() { [[ -n $(find "$1" -mmin -10 2>/dev/null) ]] && say "$(cat "$1")"; }

# apps_install: sets APPS to a folder in the build directory whose node_modules is what the lock file says. Two that come at once: the second waits.
apps_install() {
	local build=${RDDR_BUILD%/san} key lock tmp
	key=$(cat "$APPS_ROOT/package.json" "$APPS_ROOT/package-lock.json" | sha256sum | cut -c1-16)
	APPS=$build/apps-$key
	[[ ! -d $APPS ]] || return 0
	if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
		say "node and npm are wanted, and are not there: see tests/packages, and run 'make deps'"
		return 1
	fi
	exec {lock}>"$build/apps.lock"
	flock "$lock"
	if _npm_failed "$APPS.failed"; then
		exec {lock}>&-
		return 1
	fi
	if [[ ! -d $APPS ]]; then
		tmp=$(mktemp -d "$build/apps-new.XXXXXX") || return
		cp "$APPS_ROOT/package.json" "$APPS_ROOT/package-lock.json" "$APPS_ROOT/.npmrc" "$tmp" || return
		if ! _npm_ci "$tmp" || ! mv "$tmp" "$APPS"; then
			echo "npm could not install what tests/apps/package-lock.json names: $(tail -n 20 "$tmp/npm.log")" | tee "$APPS.failed" >&2
			rm -rf "$tmp"
			exec {lock}>&-
			return 1
		fi
	fi
	rm -f "$APPS.failed"
	exec {lock}>&-
}

# apps_up: one namespace, with loopback alone.
apps_up() {
	apps_install || return
	topology_up 0
}

# begin_node NAME SCRIPT ARGS...: in the gateway's namespace. SCRIPT is looked for in tests/apps.
begin_node() {
	local name=$1 script=$2
	shift 2
	spawn "$name" g env NODE_PATH="$APPS/node_modules" NODE_ENV=production APP_NAME="$name" APP_DATA="${APP_DATA:-$RDDR_TMP}" \
		node "$APPS_ROOT/$script" "$@"
}
# await_node NAME ADDRESS PORT: until it listens.
await_node() {
	if ! wait_tcp g "$2" "$3"; then
		say "$1: $(tail -n 20 "$RDDR_TMP/$1.log")"
		return 1
	fi
}
# start_node NAME ADDRESS PORT SCRIPT ARGS...: both.
start_node() { begin_node "$1" "${@:4}" && await_node "$1" "$2" "$3"; }

# fetch ARGS...: curl from where the servers are. A path is sent as it is written.
fetch() { in_ns g curl -sS --path-as-is --max-time "$((60 * RDDR_PATIENCE))" "$@"; }

# service NAME LISTEN-PORT LINES PORT...: a service of the config, with instances on 127.0.0.1.
service() {
	local name=$1 listen=$2 lines=$3 port
	shift 3
	printf '  %s:\n    listen: 127.0.0.1:%s\n    deadlines: { connect: 20s, skew: 20s, idle: 60s }\n    instances:\n' "$name" "$listen"
	for port in "$@"; do
		printf '      - { name: p%s, chainer: directed, remote: "127.0.0.1:%s" }\n' "$port" "$port"
	done
	while IFS= read -r port; do
		[[ -z $port ]] || printf '    %s\n' "$port"
	done <<<"$lines"
}

# rddr: a daemon with the services that standard input says.
rddr() {
	{
		printf 'evidence: { file: %s }\nservices:\n' "$RDDR_TMP/evidence.jsonl"
		cat
	} >"$RDDR_TMP/rddr.yaml"
	start_rddrd "$RDDR_TMP/rddr.yaml"
}

records() { ctl --json evidence --limit 1000 | jq '.evidence | length'; }
more_records() { (($(records) > $1)); }
# The last record as one line: where, why, minority.
last_record() { ctl --json evidence --limit 1 | jq -c '.evidence[0] | {service, reason, where, why, minority}'; }

# untroubled SERVICE...: nothing was denied there.
untroubled() {
	local s
	for s in "$@"; do
		if (($(counter "$s" denied))); then
			say "$s denied: $(ctl --json evidence | jq -c '.evidence[] | {service, reason, where, why, minority, request}' | head -n 5)"
			return 1
		fi
	done
}

# --- one site by three servers ---------------------------------------------------------------------------------------

# Extensions and types, the same for all.
SITE_TYPES='html text/html
css text/css
js text/javascript
txt text/plain
json application/json
xml application/xml
svg image/svg+xml
png image/png
bin application/octet-stream'

# site_nginx NAME PORT ROOT [KEEP-ALIVE-SECONDS] [LINES]
site_nginx() {
	start_nginx "$1" --ns g --listen 127.0.0.1 --port "$2" --keepalive "${4:-75}" --real-headers --no-log --conf "
		location / { root $3; }
		location = /missing.html { root $3; etag off; }
		types { $(awk '{ print $2, $1 ";" }' <<<"$SITE_TYPES" | tr '\n' ' ') }
		error_page 404 /missing.html;
		${5:-}"
}

# site_apache NAME PORT ROOT [KEEP-ALIVE-SECONDS] [LINES]
site_apache() {
	local dir="$RDDR_TMP/$1" m
	mkdir -p "$dir"
	awk '{ print $2, $1 }' <<<"$SITE_TYPES" >"$dir/types"
	{
		for m in mpm_event authz_core dir mime headers rewrite; do echo "LoadModule ${m}_module /usr/lib/apache2/modules/mod_$m.so"; done
		cat <<-END
			ServerRoot $dir
			ServerName localhost
			Listen 127.0.0.1:$2
			User www-data
			Group www-data
			PidFile $dir/pid
			DefaultRuntimeDir $dir
			ErrorLog $dir/error.log
			TypesConfig $dir/types
			DocumentRoot $3
			DirectoryIndex index.html
			ErrorDocument 404 /missing.html
			KeepAliveTimeout ${4:-5}
			MaxKeepAliveRequests 0
			ThreadsPerChild 25
			StartServers 1
			<Directory $3>
				Require all granted
				AllowOverride None
			</Directory>
			# What says that something is missing is no document with a history, nor has it parts.
			<Location /missing.html>
				Header unset Last-Modified
				Header unset ETag
				Header unset Accept-Ranges
			</Location>
			${5:-}
		END
	} >"$dir/httpd.conf"
	spawn "$1" g apache2 -D FOREGROUND -f "$dir/httpd.conf" || return
	wait_tcp g 127.0.0.1 "$2" || { tail -n 5 "$dir/error.log" "$RDDR_TMP/$1.log" >&2; return 1; }
}

# site_lighttpd NAME PORT ROOT [KEEP-ALIVE-SECONDS] [LINES]
site_lighttpd() {
	local dir="$RDDR_TMP/$1"
	mkdir -p "$dir/errors"
	cp "$3/missing.html" "$dir/errors/status-404.html"
	cat >"$dir/lighttpd.conf" <<-END
		server.document-root = "$3"
		server.bind = "127.0.0.1"
		server.port = $2
		server.errorlog = "$dir/error.log"
		server.errorfile-prefix = "$dir/errors/status-"
		server.upload-dirs = ( "$dir" )
		server.max-keep-alive-idle = ${4:-5}
		server.max-keep-alive-requests = 65535
		index-file.names = ( "index.html" )
		mimetype.assign = ( $(awk '{ printf "\".%s\" => \"%s\", ", $1, $2 }' <<<"$SITE_TYPES") )
		${5:-}
	END
	spawn "$1" g lighttpd -D -f "$dir/lighttpd.conf" || return
	wait_tcp g 127.0.0.1 "$2" || { tail -n 5 "$dir/error.log" "$RDDR_TMP/$1.log" >&2; return 1; }
}
