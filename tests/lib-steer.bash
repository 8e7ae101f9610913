# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# For the tests of steering (1*.bats): the gateway's routing and filters set up by hand, a small daemon, servers that say who they are.
# On top of lib.bash: `load lib; load lib-steer`.

LISTENER="$RDDR_BUILD/tests/tools/steer-listener"
INJECT="$RDDR_BUILD/tests/tools/inject"
STEER="$RDDR_BUILD/rddr-steer"
CONF="$RDDR_TMP/steer.yaml"
MARK=0x52000000/0xff000000

steer() { in_ns g "$STEER" --pin-dir "$RDDR_PIN" "$@"; }

# The interfaces of the gateway that filters are set on.
gateway_interfaces() { in_ns g ip -o link show type veth | awk -F': ' '{ sub(/@.*/, "", $2); print $2 }'; }

# set_filters: sets, or replaces, the filters on all interfaces.
set_filters() {
  local interface
  for interface in $(gateway_interfaces); do
    in_ns g tc qdisc add dev "$interface" clsact 2>/dev/null || true
    in_ns g tc filter replace dev "$interface" ingress pref 1 handle 1 bpf da object-pinned "$RDDR_PIN/divert" ||
      return
  done
}

set_routes() {
  local family
  for family in -4 -6; do
    in_ns g ip "$family" rule add fwmark "$MARK" lookup 133 || return
    in_ns g ip "$family" route add local default dev lo table 133 || return
  done
}

# steering_up [ARGS of attach]
steering_up() {
  set_routes && steer attach "$@" && set_filters
}

# write_conf: standard input, with one service NAME for each line "NAME INTERCEPT [KEY: VALUE...]" (separated by |).
# write_conf <<<'shop|address: 10.0.2.2, port: 80|when-down: open'
write_conf() {
  local name intercept rest key
  echo "services:" >"$CONF"
  while IFS='|' read -r name intercept rest; do
    [[ -n $name ]] || continue
    printf '  %s:\n    direction: incoming\n    intercept: { %s }\n' "$name" "$intercept" >>"$CONF"
    while [[ -n $rest ]]; do
      key=${rest%%|*}
      [[ $rest == *'|'* ]] && rest=${rest#*|} || rest=""
      printf '    %s\n' "$key" >>"$CONF"
    done
    printf '    instances: [ { name: live, chainer: transparent, forge-addr: true } ]\n' >>"$CONF"
  done
}

# start_listener [ARGS]: the small daemon, in the gateway; back when everything is published.
start_listener() {
  rm -f "$RDDR_TMP/listener.log"
  spawn listener g "$LISTENER" --pin-dir "$RDDR_PIN" --config "$CONF" "$@" || return
  wait_for "the listener" 30 grep -qx ready "$RDDR_TMP/listener.log" || { log_of listener >&2; return 1; }
}

# republish: the listener reads its config again.
republish() {
  local before
  before=$(grep -c ^services "$RDDR_TMP/listener.log")
  signal listener USR1
  wait_for "the services to be published again" 20 more_services "$before"
}
more_services() { (($(grep -c ^services "$RDDR_TMP/listener.log") > $1)); }

# serve NS PORT: a server that says "server ADDRESS-OF-CLIENT" and echoes. Both families.
serve() {
  local ns=$1 port=$2
  spawn "serve4-$ns-$port" "$ns" socat "TCP4-LISTEN:$port,fork,reuseaddr,backlog=512" \
    "SYSTEM:echo server \$SOCAT_PEERADDR; exec cat" || return
  spawn "serve6-$ns-$port" "$ns" socat "TCP6-LISTEN:$port,ipv6only=1,fork,reuseaddr,backlog=512" \
    "SYSTEM:echo server \$SOCAT_PEERADDR; exec cat" || return
  wait_tcp "$ns" 0.0.0.0 "$port" && wait_tcp "$ns" :: "$port"
}

# ask NS ADDRESS PORT: connects and prints the first line that comes.
ask() {
  # shellcheck disable=SC2016 # for the shell that runs there
  in_ns "$1" timeout "$((20 * RDDR_PATIENCE))" bash -c \
    'exec 3<>"/dev/tcp/$0/$1" && read -r line <&3 && echo "$line"' "$2" "$3"
}

# kernel NAME: a counter of the kernel programs.
kernel() { steer counters --json | jq -r --arg n "$1" '.[$n]'; }

# grown NAME THAN: whether a counter is larger.
grown() { (($(kernel "$1") > $2)); }

# open_connection NAME NS ADDRESS PORT [OPTIONS of ncat]: a connection that stays, and has got its first line.
# say_on NAME TEXT and heard NAME TEXT talk on it.
open_connection() {
  begin_connection "$@" && wait_for "the first line on $1" 30 heard "$1" .
}
begin_connection() {
  local name=$1 ns=$2 address=$3 port=$4
  shift 4
  rm -f "$RDDR_TMP/$name.in" "$RDDR_TMP/$name.log"
  mkfifo "$RDDR_TMP/$name.in"
  # shellcheck disable=SC2016 # for the shell that runs there
  spawn "$name" "$ns" bash -c 'fifo=$0; exec ncat "$@" <>"$fifo"' "$RDDR_TMP/$name.in" "$@" "$address" "$port"
}
say_on() { printf '%s\n' "$2" >"$RDDR_TMP/$1.in"; }
heard() { grep -q -- "$2" "$RDDR_TMP/$1.log"; }

# not CMD...: fails when CMD succeeds. (A lone `! CMD` is no failure to bats but in the last line.)
not() { ! "$@"; }

# mac NS INTERFACE: its address. inject NS ARGS...: see tests/tools/inject.c; from eth0 to the gateway.
mac() { in_ns "$1" cat "/sys/class/net/$2/address" 2>/dev/null || in_ns "$1" ip -o link show "$2" | sed 's/.*ether \([^ ]*\).*/\1/'; }
inject() {
  local ns=$1 peer=eth-$1
  shift
  in_ns "$ns" "$INJECT" --interface eth0 --to "$(mac g "$peer")" "$@"
}

# watch_wire NS: records what comes and goes on eth0 there. on_wire FILTER: whether something like that was seen.
watch_wire() {
  spawn wire "$1" tcpdump -i eth0 -n -U -w "$RDDR_TMP/wire.pcap" || return
  wait_for "tcpdump" 20 grep -q listening "$RDDR_TMP/wire.log"
}
on_wire() { tcpdump -n -r "$RDDR_TMP/wire.pcap" "$1" 2>/dev/null | grep -q .; }

# wire_is_read FROM: something that surely gets from there to the wire that is watched has been seen on it.
wire_is_read() {
  # shellcheck disable=SC2016 # for the shell that runs there
  in_ns "$1" bash -c 'echo >"/dev/udp/$0/9"' "$2"
  wait_for "what came last" 20 on_wire "udp port 9"
}
