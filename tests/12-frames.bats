#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Packets that are not plain: tags, options, extension headers, fragments; ICMP errors and the path's MTU.

load lib
load lib-steer

setup() {
  topology_up 2
  serve s0 80
}
teardown() { topology_down; }

# More than fits into one fragment of those that are made here.
BULK=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef

services() {
  write_conf <<<'shop|address: [10.0.2.2, "fd00:0:0:2::2"], port: 80'
}

# marked WHAT...: the SYN is brought to the daemon.
marked() {
  local before
  before=$(kernel divert_syn_marked)
  inject c --flags S "$@"
  wait_for "a marked SYN" 20 grown divert_syn_marked "$before"
}

@test "SYNs are known behind tags, IP options and extension headers" {
  services
  steering_up
  start_listener
  local port=2000 how
  for how in "" --options "--vlan 7" "--vlan 7,8" "--vlan 7,8 --options"; do
    # shellcheck disable=SC2086
    marked --from "$CLIENT4" --for "$(server4 0)" --ports $((++port)),80 $how
    # shellcheck disable=SC2086
    marked --from "$CLIENT6" --for "$(server6 0)" --ports $((++port)),80 $how
  done
}

@test "a handshake with IP options and extension headers reaches the daemon" {
  services
  steering_up
  start_listener
  # The client's kernel knows nothing of these: it must not reset what it gets back.
  in_ns c iptables -A OUTPUT -p tcp --tcp-flags RST RST -j DROP
  in_ns c ip6tables -A OUTPUT -p tcp --tcp-flags RST RST -j DROP
  inject c --from "$CLIENT4" --for "$(server4 0)" --ports 2000,80 --flags S --options
  inject c --from "$CLIENT6" --for "$(server6 0)" --ports 2000,80 --flags S --options
  wait_for "both half-open connections" 20 half_open 2
  (($(kernel steer_assigned) == 2))
}
half_open() { (($(in_ns g ss -Htn state syn-recv | wc -l) == $1)); }

@test "fragments to a steered address are dropped and counted, IPv4 and IPv6" {
  services
  steering_up
  start_listener
  watch_wire s0
  local before
  before=$(kernel divert_fragment_dropped)
  inject c --from "$CLIENT4" --for "$(server4 0)" --ports 2000,80 --flags S --data "$BULK" --fragment 24
  inject c --from "$CLIENT6" --for "$(server6 0)" --ports 2000,80 --flags S --data "$BULK" --fragment 24
  inject c --from "$CLIENT4" --for "$(server4 0)" --ports 2000,81 --flags A --data "$BULK" --fragment 24
  inject c --from "$CLIENT6" --for "$(server6 0)" --ports 2000,80 --flags S --options --data "$BULK" --fragment 24
  # 84 bytes each: four fragments.
  wait_for "sixteen fragments dropped" 20 grown divert_fragment_dropped $((before + 15))
  wire_is_read c "$(server4 0)"
  not on_wire 'host 10.0.1.2 and (tcp or ip[6:2] & 0x1fff != 0)'
  not on_wire 'ip6 host fd00:0:0:1::2 and (tcp or ip6 protochain 6)'
}

@test "fragments that are none of ours pass: other addresses, UDP" {
  services
  steering_up
  start_listener
  watch_wire s1
  inject c --from "$CLIENT4" --for "$(server4 1)" --ports 2000,80 --data "$BULK" --fragment 24
  inject c --from "$CLIENT6" --for "$(server6 1)" --ports 2000,80 --data "$BULK" --fragment 24
  wait_for "IPv4 fragments" 20 on_wire 'ip host 10.0.1.2 and ip[6:2] & 0x1fff = 9'
  wait_for "IPv6 fragments" 20 on_wire 'ip6 host fd00:0:0:1::2 and ip6[6] = 44'
  stop wire
  watch_wire s0
  inject c --udp --from "$CLIENT4" --for "$(server4 0)" --ports 2000,80 --data "$BULK" --fragment 24
  inject c --udp --from "$CLIENT6" --for "$(server6 0)" --ports 2000,80 --data "$BULK" --fragment 24
  wait_for "IPv4 fragments of UDP" 20 on_wire 'ip host 10.0.1.2 and ip[6:2] & 0x1fff = 6'
  wait_for "IPv6 fragments of UDP" 20 on_wire 'ip6 host fd00:0:0:1::2 and ip6[6] = 44'
  (($(kernel divert_fragment_dropped) == 0))
}

@test "the first fragment of a server's answer to a forged address does not go on to the client" {
  services
  steering_up
  start_listener --relay --exact-port
  open_connection mine c "$(server4 0)" 80
  watch_wire c
  local port
  port=$(in_ns g ss -Htn state established dst 10.0.2.2:80 src 10.0.1.2 | awk '{ sub(/.*:/, "", $3); print $3 }')
  inject s0 --from "$(server4 0)" --for "$CLIENT4" --ports "80,$port" --data "$BULK" --fragment 24
  wait_for "the first fragment to be dropped" 20 grown divert_fragment_dropped 0
  wire_is_read s0 "$CLIENT4"
  not on_wire 'src host 10.0.2.2 and tcp and ip[6:2] & 0x1fff = 0 and ip[6:2] & 0x2000 != 0'
}

# An instance puts an extension header between the fragment header and TCP, and the ports behind it or in the next one.
@test "nor does it over IPv6, with extension headers behind the fragment header" {
  services
  steering_up
  start_listener --relay --exact-port
  open_connection mine c "$(server6 0)" 80
  watch_wire c
  local port how dropped=0
  port=$(in_ns g ss -Htn state established dst "[$(server6 0)]:80" src "[$CLIENT6]" | awk '{ sub(/.*:/, "", $3); print $3 }')
  for how in "--fragment 24" "--behind --fragment 24" "--behind --fragment 8" "--options --behind --fragment 24"; do
    # shellcheck disable=SC2086
    inject s0 --from "$(server6 0)" --for "$CLIENT6" --ports "80,$port" --data "$BULK" $how
    wait_for "the first fragment to be dropped: $how" 20 grown divert_fragment_dropped $((dropped++))
  done
  # Another's goes its way.
  inject s0 --from "$(server6 0)" --for "$CLIENT6" --ports "81,$port" --data "$BULK" --behind --fragment 32
  wire_is_read s0 "$CLIENT6"
  (($(kernel divert_fragment_dropped) == dropped))
  not on_wire 'src host fd00:0:0:2::2 and ip6[6] = 44 and ip6[42:2] & 0xfff8 = 0 and ip6[4:2] != 40'
  on_wire 'src host fd00:0:0:2::2 and ip6[6] = 44 and ip6[42:2] & 0xfff8 = 0 and ip6[4:2] = 40'
}

# A host behind a router with a way to it of 1300 bytes, on the gateway's interface eth-m: 10.0.9.2, fd00:0:0:9::2. The link takes more:
# one of 1300 would also lose what the host sends, now and then.
far_host() {
  _namespace_add m
  _namespace_add f
  ip link add eth-m netns "${RDDR_T}g" type veth peer name eth-g netns "${RDDR_T}m"
  ip link add eth-f netns "${RDDR_T}m" type veth peer name eth0 netns "${RDDR_T}f"
  ip -n "${RDDR_T}g" -batch - <<-END
	addr add 10.0.8.1/24 dev eth-m
	addr add fd00:0:0:8::1/64 dev eth-m nodad
	link set eth-m up
	route add 10.0.9.0/24 via 10.0.8.2
	route add fd00:0:0:9::/64 via fd00:0:0:8::2
END
  ip -n "${RDDR_T}m" -batch - <<-END
	addr add 10.0.8.2/24 dev eth-g
	addr add fd00:0:0:8::2/64 dev eth-g nodad
	addr add 10.0.9.1/24 dev eth-f noprefixroute
	addr add fd00:0:0:9::1/64 dev eth-f nodad noprefixroute
	link set eth-g up
	link set eth-f up
	route add default via 10.0.8.1
	route add default via fd00:0:0:8::1
	route add 10.0.9.0/24 dev eth-f mtu lock 1300
	route add fd00:0:0:9::/64 dev eth-f mtu lock 1300
END
  ip -n "${RDDR_T}f" -batch - <<-END
	addr add 10.0.9.2/24 dev eth0
	addr add fd00:0:0:9::2/64 dev eth0 nodad
	link set eth0 up
	route add default via 10.0.9.1
	route add default via fd00:0:0:9::1
END
  in_ns m sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  wait_for "the links" 20 _links_up
}

# round NS ADDRESS: 300 KB there and back.
round() {
  # shellcheck disable=SC2094 # nobody writes it
  in_ns "$1" timeout "$((60 * RDDR_PATIENCE))" ncat "$2" 80 <"$RDDR_TMP/bulk" | tail -n +2 | cmp - "$RDDR_TMP/bulk"
}

@test "path MTU discovery works for the client's side and for forged connections" {
  far_host
  serve f 80
  write_conf <<<'both|address: [10.0.2.2, "fd00:0:0:2::2", 10.0.9.2, "fd00:0:0:9::2"], port: 80'
  steering_up
  start_listener --relay
  head -c 300000 /dev/urandom >"$RDDR_TMP/bulk"
  # Towards a client with a narrow path; from a client to a server with one. What was learned before is forgotten.
  local way ns address before
  for way in "f $(server4 0)" "f $(server6 0)" "c 10.0.9.2" "c fd00:0:0:9::2"; do
    read -r ns address <<<"$way"
    in_ns g ip -4 route flush cache
    in_ns g ip -6 route flush cache
    before=$(kernel divert_icmp_marked)
    round "$ns" "$address"
    grown divert_icmp_marked "$before"
  done
}

@test "ICMP errors about connections that are not ours pass" {
  far_host
  serve f 80
  services
  steering_up
  start_listener
  head -c 300000 /dev/urandom >"$RDDR_TMP/bulk"
  round c 10.0.9.2
  round c fd00:0:0:9::2
  (($(kernel divert_icmp_marked) == 0))
}

@test "UDP and ICMP to a steered address pass" {
  write_conf <<<'shop|address: [10.0.2.2, "fd00:0:0:2::2"], port: all'
  steering_up
  start_listener
  in_ns c ping -c 1 -W 20 "$(server4 0)"
  in_ns c ping -c 1 -W 20 "$(server6 0)"
  watch_wire s0
  wire_is_read c "$(server4 0)"
}
