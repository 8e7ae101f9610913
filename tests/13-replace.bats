#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# rddr-steer: attaching twice, replacing a version by another, being stopped half-way, and saying what is wrong.

load lib
load lib-steer

PROGRAM="$RDDR_BUILD/tests/tools/rddr-steer-program" # the programs differ from ours
ABI="$RDDR_BUILD/tests/tools/rddr-steer-abi"         # and so does the ABI

setup() {
  topology_up 1
  write_conf <<<'shop|address: [10.0.2.2, "fd00:0:0:2::2"], port: 80'
}
teardown() {
  rm -rf "$RDDR_PIN~new" "$RDDR_PIN~old"
  topology_down
}

other() { # PROGRAM ARGS
  local program=$1
  shift
  in_ns g "$program" --pin-dir "$RDDR_PIN" "$@"
}
state() { steer list --json | jq -S '[.attached, .abi, .link, .programs, .services]'; }
map_ids() {
  local map
  for map in control listeners services diverted counters asking; do
    bpftool -j map show pinned "$RDDR_PIN/$map" | jq .id
  done
}
nothing_left() {
  [[ ! -e $RDDR_PIN && ! -e $RDDR_PIN~new && ! -e $RDDR_PIN~old ]]
  in_ns g bpftool -j link show | jq -e --arg n "$(stat -Lc %i "/run/netns/${RDDR_T}g")" \
    'all(.[]; (.netns_ino // 0 | tostring) != $n)'
}

# traffic: a client that connects again and again, and writes a line for each: what it was answered, or "failed".
traffic() {
  # shellcheck disable=SC2016 # for the shell that runs there
  spawn traffic c bash -c 'while :; do
    if exec 3<>"/dev/tcp/$0/80" && read -r line <&3; then echo "${line%% *}"; else echo failed; fi; sleep 0.02; done 2>/dev/null' "$1"
}
answers() { grep -c . "$RDDR_TMP/traffic.log"; }
more_answers() { (($(answers) > $1)); }
# some_more N: until the client has had N more answers.
some_more() { wait_for "$1 more answers" 60 more_answers $(($(answers) + $1)); }

@test "attach pins all of it; detach removes all of it; both may be said twice" {
  steer attach
  (($(find "$RDDR_PIN" -mindepth 1 | wc -l) == 9))
  run steer attach
  [[ $status == 0 && $output == "already attached"* ]]
  run steer detach
  [[ $status == 0 && $output == "detached"* ]]
  nothing_left
  run steer detach
  [[ $status == 0 && $output == "nothing is attached"* ]]
  run steer list
  [[ $status == 1 && $output == *"nothing is attached"* ]]
  run steer counters
  [[ $status == 1 && $output == *"nothing is attached"* ]]
}

@test "a second attach is harmless under traffic, with and without a config" {
  steering_up
  start_listener
  open_connection mine c "$(server4 0)" 80
  local before i
  before=$(state map_ids)
  before+=$(map_ids)
  traffic "$(server4 0)"
  some_more 20
  for i in 1 2 3; do
    steer attach
    steer attach --config "$CONF"
  done
  some_more 20
  [[ $(state)$(map_ids) == "$before" ]]
  stop traffic
  [[ $(sort -u "$RDDR_TMP/traffic.log") == rddr ]]
  say_on mine still-here
  wait_for "an answer" 20 heard mine still-here
}

@test "programs of another version replace ours under traffic: nothing leaks, nothing is refused" {
  serve s0 80
  steering_up
  start_listener --workers 2
  open_connection mine c "$(server4 0)" 80
  local ids link i
  ids=$(map_ids)
  link=$(steer list --json | jq .link.id)
  traffic "$(server4 0)"
  some_more 20
  for i in 1 2; do
    run other "$PROGRAM" attach
    [[ $status == 0 && $output == "programs replaced"* ]]
    set_filters
    some_more 5
    run steer attach --config "$CONF"
    [[ $status == 0 && $output == "programs replaced"* ]]
    set_filters
    some_more 5
  done
  # The maps and the link are the same ones, and nothing is kept of the others.
  [[ $(map_ids) == "$ids" && $(steer list --json | jq .link.id) == "$link" ]]
  [[ ! -e $RDDR_PIN~new && ! -e $RDDR_PIN~old ]]
  stop traffic
  [[ $(sort -u "$RDDR_TMP/traffic.log") == rddr ]]
  say_on mine still-here
  wait_for "an answer" 20 heard mine still-here
}

@test "another ABI is replaced only with a config, and without a moment in which traffic leaks" {
  serve s0 80
  set_routes
  other "$ABI" attach --config "$CONF"
  set_filters
  traffic "$(server4 0)"
  local before
  before=$(state)
  run steer attach
  [[ $status == 1 && $output == *"another version"*"--config"* ]]
  [[ $(state) == "$before" ]]
  run "$LISTENER" --pin-dir "$RDDR_PIN" --config "$CONF"
  [[ $status == 1 && $output == *"Protocol error"* ]]
  run steer list
  [[ $status == 0 && $output == *"ABI 3"* ]]
  run steer attach --config "$CONF"
  [[ $status == 0 && $output == "everything replaced"*settle* ]]
  [[ -e $RDDR_PIN~old ]]
  steer list | grep -q settle
  start_listener
  set_filters
  steer settle
  [[ ! -e $RDDR_PIN~old && ! -e $RDDR_PIN~new ]]
  wait_for "answers" 60 grep -q rddr "$RDDR_TMP/traffic.log"
  stop traffic
  not grep -q server "$RDDR_TMP/traffic.log"
  steer detach
  nothing_left
}

# The steps of attach in the order in which they are taken, where nothing is there and where programs are replaced.
new_steps="load mkdir pin-maps pin-programs services link pin-link publish"
update_steps="load mkdir pin-maps pin-programs link link-update publish services"

@test "attach that fails at any step, or is killed there, leaves nothing behind" {
  local step how
  for step in $new_steps; do
    for how in "" :2 :15 :1 :9; do
      run env RDDR_STEER_FAIL_AT="$step$how" nsenter --net="/run/netns/${RDDR_T}g" \
        "$STEER" --pin-dir "$RDDR_PIN" attach --config "$CONF"
      echo "$step$how: $output"
      [[ $status == 1 ]]
      nothing_left
    done
  done
}

@test "a replacement that fails at any step, or is killed there, leaves the old state whole" {
  steering_up --config "$CONF"
  start_listener
  open_connection mine c "$(server4 0)" 80
  local step how before
  before=$(state)$(map_ids)
  for step in $update_steps; do
    for how in "" :2 :15 :9; do
      # Killed between the last two of them it is the new state that is whole.
      [[ $step$how != services:9 ]] || continue
      run env RDDR_STEER_FAIL_AT="$step$how" nsenter --net="/run/netns/${RDDR_T}g" \
        "$PROGRAM" --pin-dir "$RDDR_PIN" attach --config "$CONF"
      echo "$step$how: $output"
      [[ $status == 1 ]]
      [[ $(state)$(map_ids) == "$before" ]]
      [[ ! -e $RDDR_PIN~new && ! -e $RDDR_PIN~old ]]
      [[ $(ask c "$(server4 0)" 80) == rddr* ]]
    done
  done
  say_on mine still-here
  wait_for "an answer" 20 heard mine still-here
}

@test "what was left by somebody who was killed with his guardian is put right by whoever comes next" {
  steering_up --config "$CONF"
  start_listener
  local before
  before=$(state)$(map_ids)
  # A pinned link of another program, and a directory half made: what remains at that step.
  RDDR_STEER_FAIL_AT=publish:19 spawn stuck g "$PROGRAM" --pin-dir "$RDDR_PIN" attach
  wait_for "the step" 20 stopped_child "$(pid_of stuck)"
  kill -KILL "$(pid_of stuck)" "$(pgrep -P "$(pid_of stuck)")"
  [[ -e $RDDR_PIN~new && $(state)$(map_ids) != "$before" ]]
  steer attach
  [[ ! -e $RDDR_PIN~new && $(state)$(map_ids) == "$before" ]]
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
}
stopped_child() { [[ $(sed 's/.*) //' "/proc/$(pgrep -P "$1")/stat") == T* ]]; }

@test "detach that fails or is killed at a step leaves the old state, or nothing" {
  local how
  for how in "" :2 :15 :9; do
    steer attach --config "$CONF"
    run env RDDR_STEER_FAIL_AT="detach$how" nsenter --net="/run/netns/${RDDR_T}g" "$STEER" --pin-dir "$RDDR_PIN" detach
    [[ $status == 1 && ! -e $RDDR_PIN~new ]]
    steer list --json | jq -e '.attached and (.services | length) == 2'
    run env RDDR_STEER_FAIL_AT="remove$how" nsenter --net="/run/netns/${RDDR_T}g" "$STEER" --pin-dir "$RDDR_PIN" detach
    [[ $status == 1 ]]
    steer detach
    nothing_left
  done
}

@test "after detach the programs let everything pass, though filters be left" {
  serve s0 80
  steering_up --config "$CONF"
  start_listener
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
  steer detach
  [[ $(ask c "$(server4 0)" 80) == "server $CLIENT4" ]]
  [[ $(ask c "$(server6 0)" 80) == "server "* ]]
}

@test "a full service table is a clear error, and the old one stays" {
  steering_up --config "$CONF"
  {
    printf 'services:\n  many:\n    direction: incoming\n    intercept:\n      port: 80\n      address:\n'
    local i
    for ((i = 0; i < 2100; i++)); do
      echo "        - 10.$((100 + i / 250)).$((i % 250)).1"
    done
    echo '    instances: [ { name: live, chainer: transparent } ]'
  } >"$RDDR_TMP/many.yaml"
  local before
  before=$(state)
  run steer attach --config "$RDDR_TMP/many.yaml"
  [[ $status == 1 && $output == *"the service table is full"*4096* ]]
  [[ $(state) == "$before" ]]
  # And one that just fits: two entries a rule, and the name.
  sed -i '2054,2106d' "$RDDR_TMP/many.yaml"
  (($(grep -c '\.1$' "$RDDR_TMP/many.yaml") == 2047))
  steer attach --config "$RDDR_TMP/many.yaml"
  (($(steer list --json | jq '.services | length') == 2047))
}

@test "what is wrong is said" {
  run steer --pin-dir /tmp attach
  [[ $status == 1 && $output == *"not an absolute path"* ]]
  run steer --pin-dir "$RDDR_TMP/pins" attach
  [[ $status == 1 && $output == *"mount -t bpf bpf"* ]]
  run steer --pin-dir relative/path attach
  [[ $status == 1 && $output == *"not an absolute path"* ]]
  run steer --pin-dir /sys/fs/bpf/nowhere/rddr attach
  [[ $status == 1 && $output == *"No such file"* ]]
  run steer attach --config "$RDDR_TMP/nothing.yaml"
  [[ $status == 1 && $output == *nothing.yaml* ]]
  nothing_left
  # Attached here, it cannot be attached elsewhere as well.
  steer attach
  run in_ns c "$STEER" --pin-dir "$RDDR_PIN" attach
  [[ $status == 1 && $output == *"another network namespace"* ]]
  steer list --json | jq -e .attached
}

@test "pins whose network namespace is gone are replaced" {
  steer attach --config "$CONF"
  local old
  old=$(stat -Lc %i "/run/netns/${RDDR_T}g")
  topology_down_but_pins
  topology_up_but_pins
  [[ $(stat -Lc %i "/run/netns/${RDDR_T}g") != "$old" ]]
  wait_for "the link to be off" 20 link_is_off
  run steer attach
  [[ $status == 0 && $output == "everything replaced"* && $output != *settle* ]]
  [[ ! -e $RDDR_PIN~old && ! -e $RDDR_PIN~new ]]
  steer list --json | jq -e '.attached and .link.own_netns'
}
topology_down_but_pins() { ip netns del "${RDDR_T}g"; }
topology_up_but_pins() { _namespace_add g; }
link_is_off() { steer list --json | jq -e '.link.netns == 0'; }

@test "usage errors have exit status 2; help and version 0" {
  local words
  for words in "" "fly" "attach now" "detach --config x" "attach --json" "dump" "list --config x" "--fly list"; do
    # shellcheck disable=SC2086
    run "$STEER" $words
    [[ $status == 2 && $output == *"--help"* ]]
  done
  run "$STEER" --help
  [[ $status == 0 && $output == Usage* ]]
  run "$STEER" --version
  [[ $status == 0 && $output == "rddr-steer "[0-9]* ]]
}

@test "probe finds all that is needed where all of this works, and changes nothing" {
  run "$STEER" probe
  [[ $status == 0 && $output != *$'\nno '* ]]
  "$STEER" probe --json | jq -e '.ok and (.features | length) > 10 and all(.features[]; .ok and .for != "")'
  # Without the right to use BPF it says no, and why.
  run setpriv --bounding-set=-all --inh-caps=-all --reuid=65534 --clear-groups "$STEER" probe
  [[ $status == 1 && $output == *$'\nno '*"not permitted"* ]]
}

@test "the examples of the man page do what they say" {
  serve s0 80
  # Those of the last block come first: they attach.
  {
    awk '/^\.Sh/ { on = /EXAMPLES/ } /^\.Ed/ { code = 0 } on && code { print } /^\.Bd/ { code = 1 }' "$RDDR_ROOT/docs/rddr-steer.8"
    sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE/s/^\.Dl //p' "$RDDR_ROOT/docs/rddr-steer.8"
  } | sed -e "s|/sys/fs/bpf/rddr|$RDDR_PIN|; s|/etc/rddr/rddr.yaml|$CONF|; s|eth0|eth-c|" \
    -e "s|^rddr-steer|$STEER --pin-dir $RDDR_PIN|" >"$RDDR_TMP/examples"
  (($(wc -l <"$RDDR_TMP/examples") == 8))
  in_ns g bash -euxo pipefail "$RDDR_TMP/examples" >"$RDDR_TMP/examples.out"
  grep -q '^yes  load-divert' "$RDDR_TMP/examples.out"
  grep -q '^shop .* 80 ' "$RDDR_TMP/examples.out"
  grep -q '^divert_syn_marked  *0$' "$RDDR_TMP/examples.out"
  start_listener
  [[ $(ask c "$(server4 0)" 80) == rddr* ]]
}
