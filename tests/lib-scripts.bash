# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# For the tests of rddr-attach, rddr-detach, rddr-status and rddr-doctor: the whole state of the gateway as text, to
# be compared.

# Records of this test's own.
export RDDR_STATE_DIR="$RDDR_TMP/state"

# script NAME ARGS...: one of the scripts in the gateway, with this test's pin directory.
script() {
	local name=$1
	shift
	in_ns g "$RDDR_ROOT/scripts/$name" --pin-dir "$RDDR_PIN" "$@"
}

_snapshot() {
	local interface inode
	echo "== rules"
	ip rule
	ip -6 rule
	echo "== routes"
	ip route show table all | sort
	ip -6 route show table all | sort
	echo "== qdiscs"
	tc qdisc show
	for interface in $(ip -o link show | awk -F'[:@]' '{ print $2 }'); do
		echo "== filters of $interface"
		tc filter show dev "$interface" ingress
		tc filter show dev "$interface" egress
	done
	echo "== sysctls"
	# stable_secret cannot be read while it has no value.
	grep -rs --exclude=stable_secret . /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf | sort
	echo "== bpf"
	inode=$(stat -L -c %i /proc/self/ns/net)
	bpftool -j link show | jq -c --argjson n "$inode" '.[]? | select(.netns_ino == $n) | .attach_type // .type'
	find "$(dirname "$RDDR_PIN")" -path "$RDDR_PIN*"
	grep ' bpf ' /proc/self/mounts || true
	echo "== records"
	find "$RDDR_STATE_DIR" 2>/dev/null || true
}

# snapshot: everything about the gateway that attach and detach could leave changed.
snapshot() { in_ns g bash -c "$(declare -f _snapshot); _snapshot"; }

# remember, unchanged: compares the gateway with what it was.
remember() { snapshot >"$RDDR_TMP/before"; }
unchanged() {
	snapshot >"$RDDR_TMP/after"
	diff -u "$RDDR_TMP/before" "$RDDR_TMP/after" >&2
}

# steering_config FILE [PORT]: the test's services, for both families.
steering_config() {
	cat >"$1" <<-END
		services:
		  four:
		    direction: incoming
		    intercept: { address: $(server4 0), port: ${2:-80} }
		    instances:
		      - { name: live, chainer: transparent, forge-addr: true }
		  six:
		    direction: incoming
		    intercept: { address: "$(server6 0)", port: ${2:-80} }
		    instances:
		      - { name: live, chainer: transparent, forge-addr: true }
	END
}

filters_of() { in_ns g tc filter show dev "$1" ingress; }

# --- the doctor ------------------------------------------------------------------------------------------------------
# CONFIG names the config that it is asked about.

# Two services: a transparent instance and a directed one, dialled with the client's address.
doctor_config() {
	cat >"$1" <<-END
		services:
		  four:
		    direction: incoming
		    intercept: { address: $(server4 0), port: 80 }
		    instances:
		      - { name: live, chainer: transparent, forge-addr: true }
		      - { name: twin, chainer: directed, remote: "${2:-$(server4 1):80}", forge-addr: true }
		  six:
		    direction: incoming
		    intercept: { address: "$(server6 0)", port: 80, interface: eth-c }
		    instances:
		      - { name: live, chainer: transparent, forge-addr: true }
		evidence: { file: "" }
	END
}

gateway_up() {
	attach --config "$CONFIG" >/dev/null
	start_rddrd "$CONFIG"
}

doctor() { script rddr-doctor --config "$CONFIG" "$@"; }
content() { [[ $(doctor | tail -n 1) == "no problems" ]]; }

# finds LEVEL TOPIC PATTERN: the doctor says so, with its exit status to match.
# shellcheck disable=SC2154 # output and status are set by run
finds() {
	run doctor
	echo "$output"
	grep -qE "^$1 +$2: .*$3" <<<"$output" || {
		echo "not found: $1 $2: $3"
		return 1
	}
	[[ $1 != problem ]] || ((status == 1))
}

# each_of: lines PLANTED | LEVEL | TOPIC | PATTERN | REPAIR on stdin. What is planted runs in the gateway; REPAIR
# undoes it there, or is "fix" when --fix has to.
each_of() {
	local line planted level topic pattern repair
	content
	while IFS= read -r line; do
		[[ -n $line ]] || continue
		line=${line//$'\t'/}
		line=${line// | /|}
		IFS='|' read -r planted level topic pattern repair <<<"$line"
		echo "--- $planted"
		in_ns g bash -ec "$planted"
		finds "$level" "$topic" "$pattern"
		if [[ $repair == fix ]]; then
			doctor --fix || true
		else
			in_ns g bash -ec "$repair"
		fi
		wait_for "a content doctor after: $planted" 20 content
	done
}
