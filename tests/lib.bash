# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# What every test stands on: a client, a gateway and some server hosts in network namespaces of the test's own, the processes in them,
# waiting for events, and cleaning up. For bats: `load lib`, then `setup() { topology_up; }` and `teardown() { topology_down; }`.
# Scripts (the demo, the bench) set RDDR_T themselves before they source this file.
#
#   client 10.0.1.2, fd00:0:0:1::2 -- eth-c [gateway: 10.0.X.1, fd00:0:0:X::1] eth-sI -- server I: 10.0.(2+I).2, fd00:0:0:(2+I)::2
#
# Everything here may be called half-way through, or twice.

RDDR_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
RDDR_BUILD="${RDDR_BUILD:-build}"
case "$RDDR_BUILD" in /*) ;; *) RDDR_BUILD="$RDDR_ROOT/$RDDR_BUILD" ;; esac
# Loads are divided by this (the sanitizers' build uses 10); waits are multiplied by RDDR_PATIENCE.
RDDR_LOAD_SCALE="${RDDR_LOAD_SCALE:-1}"
RDDR_PATIENCE="${RDDR_PATIENCE:-1}"
export RDDR_ROOT RDDR_BUILD RDDR_LOAD_SCALE RDDR_PATIENCE
export RDDR_STEER="$RDDR_BUILD/rddr-steer"
export PATH="$RDDR_BUILD:$RDDR_ROOT/scripts:$PATH:/usr/sbin:/sbin"

_hash4() { printf '%04x' "$(($(cksum <<<"$1" | cut -d' ' -f1) & 0xffff))"; }
_build_hash() { _hash4 "$RDDR_BUILD"; }

# A short prefix that no other test, and no test of another build directory, has: r<file's number>-<build><test>-
if [[ -z ${RDDR_T:-} ]]; then
	_file=$(basename "${BATS_TEST_FILENAME:-$0}")
	_number=${_file%%[!0-9]*}
	RDDR_T="r${_number:-x}-$(_build_hash)$(_hash4 "$_file ${BATS_TEST_NAME:-}")-"
	unset _file _number
fi
RDDR_PIN="/sys/fs/bpf/rddr-${RDDR_T%-}"
RDDR_TMP="${RDDR_TMP_BASE:-/tmp}/rddr-${RDDR_T%-}"
RDDR_CONTROL="$RDDR_TMP/control.sock"
# What rddr-attach notes down for rddr-detach.
RDDR_STATE_DIR="$RDDR_TMP/state"
export RDDR_T RDDR_PIN RDDR_TMP RDDR_CONTROL RDDR_STATE_DIR

# Addresses, for tests to name instead of spelling out.
CLIENT4=10.0.1.2
CLIENT6=fd00:0:0:1::2
GATEWAY4=10.0.1.1
GATEWAY6=fd00:0:0:1::1
export CLIENT4 CLIENT6 GATEWAY4 GATEWAY6
server4() { echo "10.0.$((2 + $1)).2"; }
server6() { printf 'fd00:0:0:%x::2\n' "$((2 + $1))"; }

say() { printf '%s\n' "$*" >&2; }

# in_ns c|g|s0|s1... CMD...: not `ip netns exec`, which mounts another /sys over bpffs. "-" is the namespace we are in.
in_ns() {
	local ns=$1
	shift
	if [[ $ns == - ]]; then
		"$@"
	else
		nsenter --net="/run/netns/$RDDR_T$ns" -- "$@"
	fi
}

# --- the network -----------------------------------------------------------------------------------------------------

bpffs_ready() {
	local lock
	exec {lock}</sys/fs
	flock "$lock"
	if [[ $(stat -f -c %T /sys/fs/bpf) != bpf_fs ]]; then
		mount -t bpf bpf /sys/fs/bpf
	fi
	exec {lock}<&-
}

_namespaces() { ip netns list 2>/dev/null | awk -v t="$RDDR_T" 'index($1, t) == 1 { print $1 }'; }

_namespace_add() {
	local ns="$RDDR_T$1"
	ip netns add "$ns" || return
	ip -n "$ns" link set lo up || return
	in_ns "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 || return
}

# One link: gateway's interface, the host's namespace, the number of the network.
_link_add() {
	local ifname=$1 host=$2 net=$3 net6
	printf -v net6 '%x' "$net"
	ip link add "$ifname" netns "${RDDR_T}g" type veth peer name eth0 netns "$RDDR_T$host" || return
	ip -n "${RDDR_T}g" -batch - <<-END || return
		addr add 10.0.$net.1/24 dev $ifname
		addr add fd00:0:0:$net6::1/64 dev $ifname nodad
		link set $ifname up
	END
	ip -n "$RDDR_T$host" -batch - <<-END
		addr add 10.0.$net.2/24 dev eth0
		addr add fd00:0:0:$net6::2/64 dev eth0 nodad
		link set eth0 up
		route add default via 10.0.$net.1
		route add default via fd00:0:0:$net6::1
	END
}

_links_up() {
	local ns
	for ns in $(_namespaces); do
		[[ -z $(ip -n "$ns" -o link show | awk '!/LOOPBACK/ && !/state UP/') ]] || return
		[[ -z $(ip -n "$ns" -o addr show tentative scope global) ]] || return
	done
}

# topology_up [N]: the client, the gateway and N server hosts (3), with what an earlier run may have left removed first.
topology_up() {
	local n=${1:-3} i
	topology_down >/dev/null 2>&1
	mkdir -p "$RDDR_TMP" || return
	bpffs_ready || return
	RDDR_SERVERS=$n
	_namespace_add g || return
	in_ns g sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 || return
	_namespace_add c || return
	_link_add eth-c c 1 || return
	for ((i = 0; i < n; i++)); do
		_namespace_add "s$i" || return
		_link_add "eth-s$i" "s$i" "$((2 + i))" || return
	done
	wait_for "the links" 20 _links_up
}

# Ends what was started, removes pins, namespaces and files. Fails when one of the processes had reported a memory error or a leak.
topology_down() {
	local ns pid line status=0
	if [[ -d $RDDR_TMP/pids ]]; then
		for ns in "$RDDR_TMP"/pids/*; do
			[[ -e $ns ]] || continue
			_kill "$ns" CONT
			_kill "$ns" TERM
		done
		for ns in "$RDDR_TMP"/pids/*; do
			[[ -e $ns ]] || continue
			_end "$ns" || status=1
		done
	fi
	for ns in $(_namespaces); do
		# Children that outlived what we started.
		for pid in $(ip netns pids "$ns" 2>/dev/null); do
			kill -KILL "$pid" 2>/dev/null || true
		done
		ip netns del "$ns"
	done
	# rddr-steer builds the next state beside the pins, and sets an old one aside.
	rm -rf "$RDDR_PIN" "$RDDR_PIN~"*
	if line=$(_memory_errors); then
		say "$line"
		status=1
	fi
	if [[ -n ${RDDR_KEEP:-} ]]; then
		say "kept: $RDDR_TMP"
	else
		rm -rf "$RDDR_TMP"
	fi
	return $status
}

_memory_errors() {
	grep -sE -A12 'ERROR: (Address|Leak)Sanitizer|runtime error:|ERROR SUMMARY: [1-9]|DEADLYSIGNAL' "$RDDR_TMP"/*.log
}

# --- processes -------------------------------------------------------------------------------------------------------

# A pid's file holds the pid and its start time, so that a number used again is not taken for ours.
_start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
_pid_read() { cut -d' ' -f1 "$1"; }
_pid_alive() {
	local pid start state
	read -r pid start <"$1" || return 1
	[[ -n $start && $(_start_time "$pid") == "$start" ]] || return 1
	state=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) || return 1
	[[ ${state:0:1} != [ZX] ]]
}
_gone() { ! _pid_alive "$1"; }
# Sends a signal to the process of a pid's file. One that is gone, or goes meanwhile, is no failure.
_kill() { ! _pid_alive "$1" || kill -"$2" "$(_pid_read "$1")" 2>/dev/null || true; }

# spawn NAME NS CMD...: in the background; its output in $RDDR_TMP/NAME.log. NS "-": where we are.
spawn() {
	local name=$1 ns=$2
	shift 2
	mkdir -p "$RDDR_TMP/pids"
	if [[ -e $RDDR_TMP/pids/$name ]] && _pid_alive "$RDDR_TMP/pids/$name"; then
		say "spawn: $name runs already"
		return 1
	fi
	# bats waits for whoever holds its descriptor 3. nsenter becomes the command, so the pid is the command's own.
	if [[ $ns == - ]]; then
		"$@" >>"$RDDR_TMP/$name.log" 2>&1 </dev/null 3>&- &
	else
		nsenter --net="/run/netns/$RDDR_T$ns" -- "$@" >>"$RDDR_TMP/$name.log" 2>&1 </dev/null 3>&- &
	fi
	echo "$! $(_start_time $!)" >"$RDDR_TMP/pids/$name"
}

pid_of() { _pid_read "$RDDR_TMP/pids/$1"; }
alive() { [[ -e $RDDR_TMP/pids/$1 ]] && _pid_alive "$RDDR_TMP/pids/$1"; }
log_of() { cat "$RDDR_TMP/$1.log"; }

# signal NAME SIG: sends a signal and does not wait.
signal() { kill -"$2" "$(pid_of "$1")"; }

# Waits for the process of a pid's file to end; past the bound it is killed, which is a failure.
_end() {
	local file=$1 status=0
	if ! wait_for "the end of $(basename "$file")" "${RDDR_END_SECONDS:-20}" _gone "$file"; then
		_kill "$file" KILL
		wait_for "the end of $(basename "$file"), killed" 20 _gone "$file"
		status=1
	fi
	rm -f "$file"
	return $status
}

# stop NAME [SIG]: sends TERM, or SIG, and waits until it is gone. The exit status is the process's own where we are its parent.
stop() {
	local file="$RDDR_TMP/pids/$1" sig=${2:-TERM} pid status=0
	[[ -e $file ]] || return 0
	pid=$(_pid_read "$file")
	_kill "$file" "$sig"
	_end "$file" || return
	wait "$pid" 2>/dev/null || status=$?
	# 127: not our child. A signal that we sent is the end that was asked for.
	if ((status == 127 || status == 128 + $(kill -l "$sig"))); then
		return 0
	fi
	return $status
}

# --- waiting ---------------------------------------------------------------------------------------------------------

# wait_for DESCRIPTION SECONDS CMD...: until CMD succeeds. The seconds bound a failure; they are no measure of anything.
wait_for() {
	local what=$1 end=$((SECONDS + $2 * RDDR_PATIENCE))
	shift 2
	while ! "$@" >/dev/null 2>&1; do
		if ((SECONDS > end)); then
			say "waited in vain for $what: $*"
			return 1
		fi
		sleep 0.05
	done
}

_listens() {
	in_ns "$1" ss -Hltn "sport = :$3" | awk -v a="$2" '
		{ l = $4; sub(/:[0-9]+$/, "", l); gsub(/[\[\]]/, "", l); sub(/%.*/, "", l) }
		l == a || l == "*" || (l == "0.0.0.0" && a !~ /:/) || (l == "::" && a ~ /:/) { found = 1 }
		END { exit !found }'
}
# wait_tcp NS ADDRESS PORT: until somebody listens there. Makes no connection.
wait_tcp() { wait_for "a listener on $2 port $3 in $1" 30 _listens "$@"; }

# --- servers ---------------------------------------------------------------------------------------------------------

# start_nginx I [--page TEXT] [--conf LINES] [--http LINES] [--keepalive SECONDS] [--port PORT] [--no-log] [--real-headers] [--workers N]
#             [--ns NS] [--listen ADDRESS]
# nginx on server host I, or in another namespace when I is its name or --ns says so: its own prefix $RDDR_TMP/sI, pages in $RDDR_TMP/sI/www,
# the log access.log. LINES go into the server block, or with --http into the http block. The answers of all of them to the same file are the same bytes
# (a fixed Date, no ETag, no Last-Modified) unless --real-headers says otherwise.
start_nginx() {
	local i=$1 ns name dir page="page of the house" conf="" http="" keepalive=75 port=80 log="access.log rddr" same=1 workers=1 listen="" address
	shift
	case $i in [0-9]*) ns=s$i ;; *) ns=$i ;; esac
	name=nginx-$ns
	dir="$RDDR_TMP/$ns"
	while (($#)); do
		case $1 in
		--page) page=$2; shift 2 ;;
		--conf) conf=$2; shift 2 ;;
		--http) http=$2; shift 2 ;;
		--keepalive) keepalive=$2; shift 2 ;;
		--port) port=$2; shift 2 ;;
		--workers) workers=$2; shift 2 ;;
		--ns) ns=$2; shift 2 ;;
		--listen) listen=$2; shift 2 ;;
		--no-log) log=off; shift ;;
		--real-headers) same=""; shift ;;
		--*) say "start_nginx: what is $1?"; return 2 ;;
		*) page=$1; shift ;;
		esac
	done
	address=$listen
	listen=${listen:+listen $listen:$port backlog=4096;}
	mkdir -p "$dir/www" "$dir/tmp"
	[[ $log == off ]] || log=$dir/$log
	set_page "$i" "$page"
	cat >"$dir/nginx.conf" <<-END
		load_module /usr/lib/nginx/modules/ngx_http_headers_more_filter_module.so;
		user root;
		worker_processes $workers;
		daemon off;
		pid $dir/nginx.pid;
		error_log $dir/error.log notice;
		worker_rlimit_nofile 65536;
		events { worker_connections 16384; }
		http {
			log_format rddr '\$remote_addr:\$remote_port \$server_addr:\$server_port "\$request" \$status \$body_bytes_sent';
			access_log $log;
			types { text/plain txt; text/html html; }
			default_type application/octet-stream;
			client_body_temp_path $dir/tmp; proxy_temp_path $dir/tmp; fastcgi_temp_path $dir/tmp;
			uwsgi_temp_path $dir/tmp; scgi_temp_path $dir/tmp;
			client_max_body_size 0;
			server_tokens off;
			sendfile on;
			tcp_nopush on;
			keepalive_timeout $keepalive;
			keepalive_requests 1000000000;
			${same:+etag off; add_header Last-Modified \"\"; more_set_headers \"Date: Thu, 01 Jan 1970 00:00:00 GMT\";}
			$http
			server {
				${listen:-listen $port backlog=4096; listen [::]:$port backlog=4096;}
				root $dir/www;
				$conf
			}
		}
	END
	spawn "$name" "$ns" nginx -p "$dir" -e "$dir/error.log" -c "$dir/nginx.conf" || return
	if ! wait_tcp "$ns" "${address:-0.0.0.0}" "$port"; then
		say "nginx: $(tail -3 "$dir/error.log" "$RDDR_TMP/$name.log")"
		return 1
	fi
}

_nginx_dir() { case $1 in [0-9]*) echo "$RDDR_TMP/s$1" ;; *) echo "$RDDR_TMP/$1" ;; esac; }
# set_page I TEXT [PATH]: what server I answers from now on; replaced at once, never half.
set_page() {
	local dir
	dir="$(_nginx_dir "$1")/www"
	printf '%s\n' "$2" >"$dir/.new"
	mv "$dir/.new" "$dir/${3:-index.html}"
}
access_log() { cat "$(_nginx_dir "$1")/access.log"; }
stop_nginx() { case $1 in [0-9]*) stop "nginx-s$1" ;; *) stop "nginx-$1" ;; esac; }

# --- RDDR ------------------------------------------------------------------------------------------------------------

# attach [ARGS]: steering on every interface of the gateway's, pinned under $RDDR_PIN.
attach() {
	local i interfaces=(--interface eth-c)
	for ((i = 0; i < ${RDDR_SERVERS:-3}; i++)); do
		interfaces+=(--interface "eth-s$i")
	done
	in_ns g "$RDDR_ROOT/scripts/rddr-attach" "${interfaces[@]}" --pin-dir "$RDDR_PIN" "$@"
}
detach() { in_ns g "$RDDR_ROOT/scripts/rddr-detach" --pin-dir "$RDDR_PIN" "$@"; }

ctl() { "$RDDR_BUILD/rddrctl" --control "$RDDR_CONTROL" "$@"; }

# rddrd_args FILE [ARGS]: the command line of a daemon under test, in the array RDDRD.
rddrd_args() {
	local config=$1
	shift
	RDDRD=("$RDDR_BUILD/rddrd" --config "$config" --control "$RDDR_CONTROL" --plugin-dir "$RDDR_BUILD/diff" --pin-dir "$RDDR_PIN" "$@")
}

# start_rddrd FILE [ARGS]: a daemon named rddrd in the gateway; back when it answers on its control socket.
start_rddrd() {
	rddrd_args "$@"
	spawn rddrd g "${RDDRD[@]}" || return
	_rddrd_up rddrd
}

_answers_or_gone() { ! alive "$1" || ctl status; }
_rddrd_up() {
	if ! wait_for "rddrd to answer" 30 _answers_or_gone "$1" || ! alive "$1"; then
		say "rddrd did not come up:"
		tail -n 30 "$RDDR_TMP/$1.log" >&2
		return 1
	fi
}

# counter SERVICE NAME: a counter's value, 0 when there is none. SERVICE "-": the daemon's own; "kernel": of the kernel programs.
counter() {
	ctl --json counters | jq -r --arg s "$1" --arg c "$2" \
		'(if $s == "-" then .daemon elif $s == "kernel" then .steering else .services[$s] end)[$c] // 0'
}

# skip_unless_kernel FEATURE PROBE...: the only way to skip. The probe is a command that really tries the feature.
skip_unless_kernel() {
	local feature=$1
	shift
	"$@" >/dev/null 2>&1 || skip "kernel without $feature"
}

# --- what remains ----------------------------------------------------------------------------------------------------

# leftovers: prints what this test left behind: namespaces, processes, pins, files; nothing when it is clean.
leftovers() { _ours "^${RDDR_T%-}(-|~|\$)"; }

# ours: the same for all tests of this build directory.
ours() { _ours "^r[0-9x]+-$(_build_hash)[0-9a-f]{4}(-|~|\$)"; }

# Whatever has a name that matches the pattern.
_ours() {
	local name pid
	for name in $(ip netns list 2>/dev/null | cut -d' ' -f1); do
		[[ $name =~ $1 ]] || continue
		echo "namespace $name"
		for pid in $(ip netns pids "$name" 2>/dev/null); do
			echo "process $pid in $name: $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")"
		done
	done
	for name in /sys/fs/bpf/rddr-* "${RDDR_TMP_BASE:-/tmp}"/rddr-*; do
		[[ -e $name && $(basename "$name" | cut -c6-) =~ $1 ]] && echo "file $name"
	done
	# One may have ended since: then it has no environment, and nothing is said of that.
	for pid in $(pgrep -f -- "$RDDR_BUILD/" || true); do
		name=$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | sed -n 's/^RDDR_T=//p')
		[[ $name =~ $1 && $pid != "$$" && $pid != "$BASHPID" ]] && echo "process $pid: $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")"
	done
	return 0
}

# sweep: ends and removes whatever tests of this build directory left behind.
sweep() {
	local kind name
	ours | while read -r kind name _; do
		case $kind in
		process) kill -KILL "${name%:}" 2>/dev/null || true ;;
		esac
	done
	ours | while read -r kind name _; do
		case $kind in
		namespace) ip netns del "$name" ;;
		file) rm -rf "$name" ;;
		esac
	done
}

# What tests must not touch in the namespace they are started from.
host_state() {
	tc qdisc show 2>/dev/null | awk '/clsact|ingress/ { print "qdisc " $0 }'
	{ ip rule; ip -6 rule; } 2>/dev/null | awk '!/lookup (local|main|default) *$/ { print "rule " $0 }'
	{ ip route show table all; ip -6 route show table all; } 2>/dev/null |
		awk '/table [0-9]+/ { print "route " $0 }'
	iptables-save 2>/dev/null | awk '/^-A/ { print "iptables " $0 }'
}
