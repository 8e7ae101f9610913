#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# What is steered, what is not: destinations, ports, interfaces, clients, both families; and how workers share.

load lib
load lib-steer

setup() {
  topology_up 2
  serve s0 80
  serve s1 80
}
teardown() { topology_down; }

rddr='rddr [0-9]+'

@test "connections to a service reach the daemon with both addresses as they were, IPv4 and IPv6" {
  write_conf <<'END'
shop|address: [10.0.2.2, "fd00:0:0:2::2"], port: 80
END
  steering_up
  start_listener
  run ask c "$(server4 0)" 80
  [[ $output =~ ^$rddr\ 10\.0\.2\.2:80\ 10\.0\.1\.2:[0-9]+$ ]]
  run ask c "$(server6 0)" 80
  [[ $output =~ ^$rddr\ \[fd00:0:0:2::2\]:80\ \[fd00:0:0:1::2\]:[0-9]+$ ]]
  (($(kernel steer_assigned) == 2))
  (($(kernel divert_syn_marked) == 2))
  # The client's own view: it is connected to the server.
  open_connection one c "$(server4 0)" 80
  in_ns c ss -Htn state established dst 10.0.2.2:80 | grep -q 10.0.2.2:80
}

@test "other destinations and ports are let through untouched" {
  write_conf <<<'shop|address: 10.0.2.2, port: 80'
  serve s0 81
  steering_up
  start_listener
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
  [[ $(ask c "$(server4 0)" 81) == "server $CLIENT4" ]]
  [[ $(ask c "$(server4 1)" 80) == "server $CLIENT4" ]]
  [[ $(ask c "$(server6 0)" 80) == "server "* ]]
}

@test "prefixes, all ports, and the order in which rules are matched" {
  serve s0 81
  serve s1 81
  # net: the whole network, but not one port of one host, which has no when-down of its own.
  write_conf <<'END'
net|address: [10.0.2.0/23, "fd00:0:0:2::/63"], port: all
END
  steering_up
  start_listener
  local i port
  for i in 0 1; do
    for port in 80 81 4711; do
      [[ $(ask c "$(server4 $i)" $port) == "rddr 0 $(server4 $i):$port $CLIENT4"* ]]
      [[ $(ask c "$(server6 $i)" $port) == "rddr 0 [$(server6 $i)]:$port"* ]]
    done
  done
}

@test "a rule for an interface holds there alone" {
  write_conf <<<'shop|address: 10.0.2.2, port: 80, interface: eth-c'
  steering_up
  start_listener
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
  [[ $(ask s1 "$(server4 0)" 80) == "server $(server4 1)" ]]
}

@test "a rule for clients holds for them alone" {
  write_conf <<'END'
shop|address: [10.0.2.2, "fd00:0:0:2::2"], port: 80, clients: [10.0.3.0/24, "fd00:0:0:3::/64"]
END
  steering_up
  start_listener
  [[ $(ask c "$(server4 0)" 80) == "server $CLIENT4" ]]
  [[ $(ask c "$(server6 0)" 80) == "server "* ]]
  [[ $(ask s1 "$(server4 0)" 80) == rddr* ]]
  [[ $(ask s1 "$(server6 0)" 80) == rddr* ]]
}

@test "an interface that does not exist is warned of, and taken in when the services are published again" {
  write_conf <<<'shop|address: 10.0.2.2, port: 80, interface: eth-x'
  steering_up
  start_listener
  log_of listener | grep -q 'warning.*no interface eth-x'
  [[ $(ask c "$(server4 0)" 80) == "server $CLIENT4" ]]
  in_ns g ip link set eth-c down
  in_ns g ip link set eth-c name eth-x
  in_ns g ip link set eth-x up
  republish
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
}

@test "what this host sends to itself is never steered, not even to an address of an attached interface" {
  write_conf <<'END'
own|address: [10.0.1.1, 127.0.0.0/8, "fd00:0:0:1::1", "::1"], port: 80
END
  steering_up
  start_listener
  serve g 80
  [[ $(ask g "$GATEWAY4" 80) == "server $GATEWAY4" ]]
  [[ $(ask g 127.0.0.1 80) == "server 127.0.0.1" ]]
  [[ $(ask g "$GATEWAY6" 80) == "server "* ]]
  [[ $(ask g ::1 80) == "server "* ]]
  [[ $(ask c "$GATEWAY4" 80) == rddr* ]]
  [[ $(ask c "$GATEWAY6" 80) == rddr* ]]
  (($(kernel steer_assigned) == 2))
}

@test "interfaces without a filter are not steered" {
  write_conf <<<'shop|address: 10.0.2.2, port: 80'
  steering_up
  in_ns g tc filter del dev eth-s1 ingress pref 1
  start_listener
  [[ $(ask s1 "$(server4 0)" 80) == "server $(server4 1)" ]]
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
}

@test "connections spread over the workers, IPv4 and IPv6" {
  write_conf <<'END'
shop|address: [10.0.2.2, "fd00:0:0:2::2"], port: 80
END
  steering_up
  start_listener --workers 4
  local i address worker
  for address in "$(server4 0)" "$(server6 0)"; do
    for i in $(seq 100); do
      ask c "$address" 80
    done | cut -d' ' -f2 | sort | uniq -c >"$RDDR_TMP/spread"
    # 100 connections, 4 workers: that one gets fewer than 5 by chance happens once in 10^7 runs.
    for worker in 0 1 2 3; do
      awk -v w="$worker" '$2 == w { n = $1 } END { exit !(n >= 5) }' "$RDDR_TMP/spread"
    done
  done
}

@test "every handshake by SYN cookie works" {
  write_conf <<'END'
shop|address: [10.0.2.2, "fd00:0:0:2::2"], port: 80
END
  in_ns g sysctl -qw net.ipv4.tcp_syncookies=2
  steering_up
  start_listener --workers 4
  local i
  for i in $(seq 30); do
    [[ $(ask c "$(server4 0)" 80) == rddr* ]]
    [[ $(ask c "$(server6 0)" 80) == rddr* ]]
  done
  (($(in_ns g nstat -az TcpExtSyncookiesRecv | awk '/Syncookies/ { print $2 }') == 60))
}

@test "forged connections to the server go round, with any port and with the client's own" {
  write_conf <<'END'
shop|address: [10.0.2.2, "fd00:0:0:2::2"], port: 80
END
  steering_up
  local how
  for how in "" --exact-port; do
    # shellcheck disable=SC2086
    start_listener --relay $how
    [[ $(ask c "$(server4 0)" 80) == "server $CLIENT4" ]]
    [[ $(ask c "$(server6 0)" 80) == "server "*fd00* ]]
    stop listener
  done
  (($(kernel steer_assigned) == 4))
}
