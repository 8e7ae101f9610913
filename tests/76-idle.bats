#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Three real servers, which end idle connections at different times, and clients that ask just then: nobody is denied, and what may not be repeated is
# carried out once by each.

load lib
load apps/lib

setup() { apps_up; }
teardown() { topology_down; }

# nginx_idle NAME PORT MILLISECONDS: answers as idle/server.js does, and counts POSTs in its log.
nginx_idle() {
	local name=$1 port=$2 idle=$3 dir="$RDDR_TMP/$1"
	mkdir -p "$dir"
	cat >"$dir/nginx.conf" <<-END
		user root; worker_processes 1; daemon off; pid $dir/pid; error_log $dir/error.log;
		worker_rlimit_nofile 65536;
		events { worker_connections 16384; }
		http {
			log_format method '\$request_method'; access_log $dir/access.log method;
			client_body_temp_path $dir; proxy_temp_path $dir; fastcgi_temp_path $dir; uwsgi_temp_path $dir; scgi_temp_path $dir;
			keepalive_timeout ${idle}ms; keepalive_requests 1000000;
			server {
				listen 127.0.0.1:$port backlog=4096;
				default_type text/plain;
				return 200 "\$request_method \$request_uri\n";
			}
		}
	END
	spawn "$name" g nginx -p "$dir" -e "$dir/error.log" -c "$dir/nginx.conf"
	wait_tcp g 127.0.0.1 "$port"
}

posts_at() { grep -c '^POST$' "$RDDR_TMP/$1/access.log"; }

# idle_run CLIENTS REQUESTS RESTS...: the load, and what must hold behind it.
idle_run() {
	local asked posts
	if ! in_ns g timeout -k 10 "$((240 * RDDR_PATIENCE))" node "$APPS_ROOT/idle/load.js" http://127.0.0.1:7000 "$@" >"$RDDR_TMP/load" 2>&1; then
		cat "$RDDR_TMP/load"
		ctl --json evidence | jq -c '.evidence[] | {reason, where, why, minority, request}'
		ctl --json counters | jq -c '.services[] | with_entries(select(.value != 0))'
		return 1
	fi
	read -r asked posts <"$RDDR_TMP/load"
	echo "$asked requests, $posts POSTs, $(counter web replays) sent again, $(counter web refreshed) dialled anew first, $(counter web redials) redials"
	((asked == $1 * $2 && posts > 0))
	[[ $(counter web divergences) == 0 && $(counter web denied) == 0 && $(counter web replays_refused) == 0 ]]
	# How many were sent again is chance; tests/stream/replay.c leaves none to it.
	(($(counter web refreshed) > 0 && $(counter web redials) > 0))
	[[ $(fetch http://127.0.0.1:7001/posts) == "$posts" && $(posts_at b) == "$posts" && $(posts_at c) == "$posts" ]]
}

@test "servers that end idle connections after 0.7, 1 and 60 seconds: no request is denied, and no POST done twice" {
	start_node a 127.0.0.1 7001 idle/server.js 127.0.0.1 7001 700
	nginx_idle b 7002 1000
	nginx_idle c 7003 60000
	rddr <<<"$(service web 7000 'diff-class: http' 7001 7002 7003)"
	idle_run "$((200 / RDDR_LOAD_SCALE))" 20 700 1000 700 1000 5
}

@test "the first of them is the most patient one" {
	start_node a 127.0.0.1 7001 idle/server.js 127.0.0.1 7001 60000
	nginx_idle b 7002 700
	nginx_idle c 7003 1000
	rddr <<<"$(service web 7000 'diff-class: http' 7001 7002 7003)"
	idle_run "$((100 / RDDR_LOAD_SCALE))" 12 700 1000 700 1000 5
}
