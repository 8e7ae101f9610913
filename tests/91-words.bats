#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# What is written holds: the demo, the README's commands and configs, the examples of the man pages, the help of each program.
# shellcheck disable=SC2016 # inner shells expand what is theirs

load lib

setup() { cd "$RDDR_ROOT" || return; }
teardown() { topology_down; }

@test "the demo runs and its claims hold" {
	DEMO_T="${RDDR_T%-}d-" tests/demo.sh >"$BATS_TEST_TMPDIR/demo" 2>&1 || { cat "$BATS_TEST_TMPDIR/demo"; false; }
	grep -q "they believe they talk to the client" "$BATS_TEST_TMPDIR/demo"
	grep -q "closed connection" "$BATS_TEST_TMPDIR/demo"
}

@test "the demo in the listening form runs without kernel rights" {
	DEMO_T="${RDDR_T%-}d-" tests/demo.sh --direct >"$BATS_TEST_TMPDIR/demo" 2>&1 || { cat "$BATS_TEST_TMPDIR/demo"; false; }
	grep -q "without a single capability" "$BATS_TEST_TMPDIR/demo"
	grep -q "closed connection" "$BATS_TEST_TMPDIR/demo"
}

# blocks FILE INFO: the contents of a markdown file's fences that are marked so.
blocks() { awk -v info="$2" '/^```/ { inside = ($0 == "```" info); next } inside' "$1"; }

# The README's gateway has eth0 towards the clients and eth1 towards three servers.
readme_gateway() {
	topology_up 1
	ip -n "${RDDR_T}g" link set eth-c down
	ip -n "${RDDR_T}g" link set eth-c name eth0 up
	ip -n "${RDDR_T}g" link set eth-s0 down
	ip -n "${RDDR_T}g" link set eth-s0 name eth1 up
	ip -n "${RDDR_T}s0" addr add 10.0.2.3/24 dev eth0
	ip -n "${RDDR_T}s0" addr add 10.0.2.4/24 dev eth0
	wait_for "the links" 20 _links_up
	start_nginx 0 "the same from all three"
}

# in_gateway CMD: in the gateway, with places of its own for what the README's commands name.
in_gateway() {
	in_ns g unshare --mount bash -euc '
		mkdir -p "$RDDR_TMP/etc" "$RDDR_TMP/run" "$RDDR_TMP/steer" "$RDDR_TMP/log" "$RDDR_TMP/pins"
		mkdir -p /run/rddr /run/rddr-steer /etc/rddr
		mount --bind "$RDDR_TMP/etc" /etc/rddr
		mount --bind "$RDDR_TMP/run" /run/rddr
		mount --bind "$RDDR_TMP/steer" /run/rddr-steer
		mount --bind "$RDDR_TMP/log" /var/log
		mountpoint -q "$RDDR_TMP/pins" || mount -t bpf bpf "$RDDR_TMP/pins"
		mount --bind "$RDDR_TMP/pins" /sys/fs/bpf
		unset RDDR_STATE_DIR
		eval "$1"' in_gateway "$1"
}

@test "the README's gateway: attach, run, look, detach, word for word" {
	readme_gateway
	script=$(blocks README.md "sh gateway" | sed -E 's/^(sudo )?rddrd (.*)$/rddrd \2 >"$RDDR_TMP\/rddrd.log" 2>\&1 \& daemon=$!; up/')
	[ -n "$script" ]
	[[ $script == *rddr-attach* && $script == *rddrctl* && $script == *rddr-detach* ]]
	mkdir -p "$RDDR_TMP/etc"
	blocks README.md "yaml /etc/rddr/rddr.yaml" >"$RDDR_TMP/etc/rddr.yaml"
	[ -s "$RDDR_TMP/etc/rddr.yaml" ]
	in_gateway "
		up() { for i in \$(seq 600); do rddrctl status >/dev/null 2>&1 && return; sleep 0.1; done; cat $RDDR_TMP/rddrd.log; return 1; }
		trap 'kill \$daemon; wait \$daemon || true; rddr-detach || true' EXIT
		$(sed '/rddr-detach/,$d' <<<"$script")
		nsenter --net=/run/netns/${RDDR_T}c curl -sSf --max-time 20 http://10.0.2.2/ | grep 'the same from all three'
		rddrctl --json counters | jq -e '.services.shop.sessions == 1'
		kill \$daemon; wait \$daemon
		rddr-detach
		trap - EXIT
	"
	[ "$(access_log 0 | awk '{ print $2 }' | sort)" = "$(printf '10.0.2.%s:80\n' 2 3 4)" ]
	[ "$(access_log 0 | grep -c "^$CLIENT4:")" -eq 3 ]
}

# certified NAME: a certificate, its key, and a response of its issuer, itself, that it is good.
certified() {
	local pem=$RDDR_TMP/$1.pem key=$RDDR_TMP/$1.key
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" -addext "subjectAltName=DNS:$1.example" \
		-set_serial 1 -keyout "$key" -out "$pem" 2>/dev/null
	printf 'V\t351231235959Z\t\t01\tunknown\t/CN=%s\n' "$1" >"$RDDR_TMP/$1.index"
	openssl ocsp -index "$RDDR_TMP/$1.index" -rsigner "$pem" -rkey "$key" -CA "$pem" -issuer "$pem" -cert "$pem" -ndays 2 \
		-respout "$RDDR_TMP/$1.ocsp" >/dev/null 2>&1
}

@test "every config in README and the man pages is one that rddrd takes" {
	local file n=0
	mkdir -p "$RDDR_TMP"
	blocks README.md "yaml" >"$RDDR_TMP/readme-1.yaml"
	blocks README.md "yaml /etc/rddr/rddr.yaml" >"$RDDR_TMP/readme-2.yaml"
	# Displays of a page that begin like a config are one.
	for file in docs/*.[1-8]; do
		awk -v out="$RDDR_TMP/$(basename "$file")" '
			/^\.(Bd|EX|nf)/ { n++; body = ""; inside = 1; next }
			/^\.(Ed|EE|fi)/ {
				inside = 0
				if (body ~ /(^|\n)(services|addrlist):/) { gsub(/\\-/, "-", body); gsub(/\\&/, "", body); gsub(/\\e/, "\\", body); printf "%s", body >(out "-" n ".yaml") }
				next
			}
			inside { body = body $0 "\n" }' "$file"
	done
	# Files that a config names have to be there.
	printf 'app secret\n' | install -m 600 /dev/stdin "$RDDR_TMP/db.credentials"
	for file in shop blog inner-ca; do
		certified "$file"
	done
	sed -i -E "s#/etc/rddr/([a-z-]+\.(credentials|pem|key|ocsp))#$RDDR_TMP/\1#g" "$RDDR_TMP"/*.yaml
	for file in "$RDDR_TMP"/*.yaml; do
		[ -s "$file" ] || continue
		# A page may show a part of a service.
		if ! grep -q 'instances:\|addrlist:' "$file"; then
			echo '    listen: "127.0.0.1:1"' >>"$file"
			echo '    instances: [{ chainer: directed, remote: "127.0.0.1:2" }, { chainer: directed, remote: "127.0.0.1:3" },' \
				'{ chainer: directed, remote: "127.0.0.1:4" }]' >>"$file"
		fi
		echo "== $file"
		cat "$file"
		rddrd --config "$file" --check --plugin-dir "$RDDR_BUILD/diff"
		n=$((n + 1))
	done
	[ "$n" -ge 3 ]
}

@test "each program has --help and --version, and says 2 to what it does not know" {
	local program
	for program in rddrd rddrctl rddr-steer rddr-attach rddr-detach rddr-status rddr-doctor; do
		echo "== $program"
		run "$program" --help
		[ "$status" -eq 0 ]
		[[ ${output,,} == *usage* ]]
		run "$program" --version
		[ "$status" -eq 0 ]
		[[ $output == *"$program"*[0-9].[0-9]* ]]
		run "$program" --no-such-option
		[ "$status" -eq 2 ]
		# The page knows every long option of the help.
		for option in $("$program" --help | grep -oE -- '--[a-z][a-z-]+' | sort -u); do
			grep -qE -- "${option//-/(\\\\)?-}|Fl (Fl |\\\\?-)${option#--}" docs/"$program".[1-8] || { echo "$option is not in the man page"; return 1; }
		done
	done
}

@test "make install puts everything where it runs from" {
	local root="$RDDR_TMP/root"
	mkdir -p "$root"
	make --no-print-directory BUILD="$RDDR_BUILD" DESTDIR="$root" install
	"$root/usr/sbin/rddrd" --version
	"$root/usr/bin/rddrctl" --version
	"$root/usr/sbin/rddr-attach" --version
	"$root/usr/sbin/rddr-doctor" --help
	[ -e "$root/usr/lib/rddr/diff/bytes.so" ]
	[ -e "$root/usr/include/rddr_diff.h" ]
	[ -e "$root/usr/share/man/man8/rddrd.8" ]
}
