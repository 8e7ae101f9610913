# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# For the end-to-end tests, which run inside a machine that is nothing but a gateway: on top of lib.bash. The lab's hosts
# are the namespaces c, s0, s1 and s2; the gateway is the machine itself, with RDDR installed from its package.

RDDR_T=lab-
. "$(dirname "${BASH_SOURCE[0]}")/../lib.bash"
# The package's programs, and its places.
unset RDDR_STEER RDDR_STATE_DIR
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
LAB=/var/lib/rddr-lab
CONFIG=/etc/rddr/rddr.yaml
export DEBS=/opt/e2e/debs
PAGE="the page of the house"

ctl() { rddrctl "$@"; }
# no CMD...: the command fails. (A line that begins with ! fails no test.)
no() { ! "$@"; }
get() { in_ns c curl -sS --max-time "$((30 * RDDR_PATIENCE))" "$@"; }
# shows URL: whether a page arrives, whosever it is.
shows() { get "$1" | grep page; }

page() { echo "$2" >"$LAB/s$1/www/.new" && mv "$LAB/s$1/www/.new" "$LAB/s$1/www/index.html"; }
pages_alike() {
	local i
	for i in 0 1 2; do
		page "$i" "$PAGE"
		# Its date is in the answer too.
		touch -d 2026-01-01 "$LAB/s$i/www/index.html"
	done
}

# web_config PORT [LINES]: a service of the gateway form, in front of nginx.
web_config() {
	local port=$1
	shift
	cat <<-END
		  web$port:
		    intercept: { address: 10.0.2.2, port: $port, interface: eth-c }
		    instances:
		      - { name: live,    chainer: transparent, forge-addr: true }
		      - { name: twin,    chainer: directed, remote: "10.0.3.2:$port", forge-addr: true }
		      - { name: variant, chainer: directed, remote: "10.0.4.2:$port", forge-addr: true }
		    diff-class: http
	END
	(($# == 0)) || printf '    %s\n' "$@"
}

# configure <SERVICES: the config, and the interfaces.
configure() {
	{
		echo "services:"
		cat
	} >"$CONFIG"
	sed -i 's/^INTERFACES=.*/INTERFACES="eth-c eth-s0 eth-s1 eth-s2"/' /etc/default/rddr
}

begin() {
	systemctl reset-failed
	systemctl restart rddr-steer.service
	systemctl restart rddrd.service
	wait_for "steering" 30 steered
}
finish() { systemctl stop rddrd.service rddr-steer.service; }
steered() { [[ $(ctl --json status | jq -r .steering.state) == attached ]]; }
# Fails when there is none: 0 would be whoever asks.
main_pid() { systemctl show -P MainPID rddrd.service | grep -v '^0$'; }

# What attaching could leave changed, as text. Whether addresses of a real machine's uplink are probed for being another's
# (accept_dad) is its network manager's, which sets it when the link comes up.
host_snapshot() {
	local interface
	ip rule
	ip -6 rule
	ip route show table all | sort
	ip -6 route show table all | sort
	tc qdisc show | sort
	for interface in $(ip -o link show | awk -F'[:@] *' '{ print $2 }'); do
		tc filter show dev "$interface" ingress
		tc filter show dev "$interface" egress
	done
	grep -rs --exclude=stable_secret . /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf /proc/sys/net/ipv4/ip_forward |
		grep -v '/conf/eth0/accept_dad:' | sort
	find /sys/fs/bpf ! -name '*.debug' -printf '%p %M %u:%g\n' | sort
	grep ' bpf ' /proc/self/mounts
	nft list ruleset 2>/dev/null || true
	ls -d /run/rddr-steer/* 2>/dev/null || true
}
