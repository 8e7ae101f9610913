#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# What becomes of traffic when no daemon is live, when one dies, and of connections from before attach.

load lib
load lib-steer

setup() {
  topology_up 1
  serve s0 80
}
teardown() { topology_down; }

services() { # WHEN-DOWN [EXISTING]
  write_conf <<END
shop|address: [10.0.2.2, "fd00:0:0:2::2"], port: 80|when-down: $1|existing: ${2:-keep}
END
}

# dropped ADDRESS: a connection's SYN is dropped, and no server ever hears of it.
dropped() {
  local before
  before=$(kernel divert_down_dropped)
  begin_connection "tried-$BATS_TEST_NUMBER-$before" c "$1" 80
  wait_for "a dropped SYN" 20 grown divert_down_dropped "$before"
  stop "tried-$BATS_TEST_NUMBER-$before" KILL
  [[ ! -s $RDDR_TMP/tried-$BATS_TEST_NUMBER-$before.log ]]
}

not_live() { steer list --json | jq -e 'all(.workers[]; .live | not)'; }

live() { ! not_live; }

@test "closed: with no daemon ever, connections are dropped and counted" {
  services closed
  steering_up --config "$CONF"
  dropped "$(server4 0)"
  dropped "$(server6 0)"
  start_listener
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
  [[ $(ask c "$(server6 0)" 80) == rddr* ]]
}

@test "open: with no daemon ever, connections reach the server, and stay there when a daemon comes" {
  services open reset
  steering_up --config "$CONF"
  open_connection four c "$(server4 0)" 80
  open_connection six c "$(server6 0)" 80
  heard four "server $CLIENT4"
  heard six "server "
  (($(kernel divert_down_passed) == 2))
  start_listener
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
  say_on four still-here
  say_on six still-here
  wait_for "an answer" 20 heard four still-here
  wait_for "an answer" 20 heard six still-here
  (($(kernel divert_existing_dropped) == 0))
}

@test "closed: a daemon that is killed, that ends, that hangs" {
  services closed
  steering_up
  start_listener
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
  stop listener KILL
  dropped "$(server4 0)"
  dropped "$(server6 0)"
  start_listener
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
  stop listener
  dropped "$(server4 0)"
  start_listener
  signal listener STOP
  wait_for "its heartbeat to be stale" 20 not_live
  dropped "$(server4 0)"
  dropped "$(server6 0)"
  signal listener CONT
  wait_for "a daemon that is live again" 20 live
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
}

@test "open: a daemon that is killed, and one that hangs" {
  services open
  steering_up
  start_listener
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
  stop listener KILL
  [[ $(ask c "$(server4 0)" 80) == "server $CLIENT4" ]]
  [[ $(ask c "$(server6 0)" 80) == "server "* ]]
  start_listener
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
  signal listener STOP
  wait_for "its heartbeat to be stale" 20 not_live
  [[ $(ask c "$(server4 0)" 80) == "server $CLIENT4" ]]
  signal listener CONT
  wait_for "a daemon that is live again" 20 live
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
}

# What the client sends on its session after the daemon's death must not be seen on the server's wire.
session_dies() { # ADDRESS HOW WHEN-DOWN
  local before
  services "$3"
  steering_up
  start_listener
  open_connection mine c "$1" 80
  watch_wire s0
  # The daemon's own reset, or end, does not get to the client: it is to believe that all is well.
  in_ns g iptables -A OUTPUT -o eth-c -p tcp --sport 80 -j DROP
  in_ns g ip6tables -A OUTPUT -o eth-c -p tcp --sport 80 -j DROP
  stop listener "$2"
  before=$(kernel divert_diverted_dropped)
  say_on mine secret-of-the-session
  wait_for "the data to be dropped" 20 grown divert_diverted_dropped "$before"
  wire_is_read c "$1"
  not on_wire 'src port 80 or dst port 80'
}
@test "closed: a session's data never reaches the server after the daemon was killed, IPv4" {
  session_dies "$(server4 0)" KILL closed
}

@test "closed: a session's data never reaches the server after the daemon was killed, IPv6" {
  session_dies "$(server6 0)" KILL closed
}

@test "open: a session's data never reaches the server after the daemon was killed" {
  session_dies "$(server4 0)" KILL open
}

@test "a session's data never reaches the server while the daemon hangs; it is answered when it goes on" {
  services open
  steering_up
  start_listener
  open_connection mine c "$(server4 0)" 80
  signal listener STOP
  wait_for "its heartbeat to be stale" 20 not_live
  say_on mine are-you-there
  wait_for "the packets to be marked" 20 grown divert_diverted_marked 1
  signal listener CONT
  wait_for "an answer" 20 heard mine are-you-there
}

@test "existing: keep: connections from before attach go on" {
  services closed keep
  open_connection four c "$(server4 0)" 80
  open_connection six c "$(server6 0)" 80
  steering_up --config "$CONF"
  start_listener
  say_on four still-here
  say_on six still-here
  wait_for "an answer" 20 heard four still-here
  wait_for "an answer" 20 heard six still-here
  (($(kernel divert_existing_kept) >= 2))
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
}

@test "existing: reset: connections from before attach are cut off" {
  services closed reset
  open_connection four c "$(server4 0)" 80
  open_connection six c "$(server6 0)" 80
  steering_up --config "$CONF"
  start_listener
  say_on four still-here
  wait_for "a dropped packet" 20 grown divert_existing_dropped 0
  say_on six still-here
  wait_for "a dropped packet" 20 grown divert_existing_dropped "$(kernel divert_existing_dropped)"
  not heard four still-here
  not heard six still-here
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
}

@test "what servers still send to a dead daemon's forged connections does not reach the client" {
  write_conf <<<'shop|address: 10.0.2.2, port: 82'
  steering_up
  start_listener --relay --exact-port
  : >"$RDDR_TMP/late"
  spawn late s0 socat TCP4-LISTEN:82,fork,reuseaddr "SYSTEM:echo server; exec tail -n +1 -f '$RDDR_TMP/late'"
  wait_tcp s0 0.0.0.0 82
  open_connection mine c "$(server4 0)" 82
  echo while-it-lives >>"$RDDR_TMP/late"
  wait_for "what the server says" 20 heard mine while-it-lives
  watch_wire c
  # Neither end learns of the daemon's death: the server goes on sending.
  in_ns g iptables -A OUTPUT -p tcp -m multiport --ports 82 -j DROP
  stop listener KILL
  echo after-its-death >>"$RDDR_TMP/late"
  wait_for "the server's data to be dropped" 20 grown divert_diverted_dropped 0
  wire_is_read s0 "$CLIENT4"
  not on_wire 'src host 10.0.2.2 and src port 82'
}

@test "the gateway's own connections go on, with and without a daemon" {
  services closed
  steering_up --config "$CONF"
  serve s0 81
  serve g 22
  open_connection out4 g "$(server4 0)" 81
  open_connection out6 g "$(server6 0)" 81
  open_connection in4 c "$GATEWAY4" 22
  open_connection in6 c "$GATEWAY6" 22
  local name
  for name in out4 out6 in4 in6; do
    say_on $name one
    wait_for "an answer on $name" 20 heard $name one
  done
  start_listener
  for name in out4 out6 in4 in6; do
    say_on $name two
    wait_for "an answer on $name" 20 heard $name two
  done
  stop listener KILL
  for name in out4 out6 in4 in6; do
    say_on $name three
    wait_for "an answer on $name" 20 heard $name three
  done
  (($(kernel divert_diverted_dropped) == 0))
}
