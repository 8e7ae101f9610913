#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# The package is upgraded under traffic: new kernel programs, a new daemon, and no request is lost.

load lib

setup_file() {
	pages_alike
	web_config 80 | configure
	begin
}

# What wrk counted, when all of it was well. Ends of connections that it asked to be closed are no errors.
all_well() {
	local said
	said=$(log_of "$1")
	echo "$said"
	[[ $said == *"requests in"* && $said != *Non-2xx* ]]
	[[ ! $said =~ Socket\ errors:\ connect\ [1-9] && ! $said =~ timeout\ [1-9] && ! $said =~ read\ [1-9] && ! $said =~ write\ [1-9] ]]
}
asked() { counter web80 sessions; }

@test "an upgrade under traffic: the daemon is another one, and no request is lost" {
	local pid programs
	pid=$(main_pid)
	programs=$(rddr-steer list --json | jq -c .programs)
	spawn short c wrk -t 1 -c 4 -d 600s --timeout 20s -H "Connection: close" http://10.0.2.2/
	spawn long c wrk -t 1 -c 4 -d 600s --timeout 20s http://10.0.2.2/
	# wrk does not count what is never answered.
	# shellcheck disable=SC2016 # for the inner shell
	spawn each c bash -c 'while :; do curl -sS --max-time "$1" "$2" || echo lost; done' - "$((20 * RDDR_PATIENCE))" http://10.0.2.2/
	wait_for "traffic" 30 bash -c "(( \$(rddrctl --json counters | jq .services.web80.sessions) > 50 ))"
	dpkg --install "$DEBS"/next.deb
	[[ $(main_pid) =~ ^[0-9]+$ && $(main_pid) != "$pid" ]]
	systemctl --quiet is-active rddrd.service
	alive short
	alive long
	# By which wrk ends in order, and says what it counted.
	kill -INT "$(pid_of short)" "$(pid_of long)"
	wait_for "the end of the traffic" 60 bash -c "! kill -0 $(pid_of short) && ! kill -0 $(pid_of long)"
	stop each TERM
	# The last one may have been cut off by us.
	(($(log_of each | sed '$d' | grep -cxF "$PAGE") > 10))
	no grep -vxF "$PAGE" <(log_of each | sed '$d')
	all_well short
	all_well long
	wait_for "the old daemon's end" 60 bash -c "! kill -0 $pid"
	# The kernel programs are new ones too, and the filters run them.
	[[ $(rddr-steer list --json | jq -c .programs) != "$programs" ]]
	rddr-status
	[[ $(counter web80 denied) == 0 ]]
	(($(counter web80 sessions) > 0))
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
}

@test "the daemon that took over is the service's: it is watched, restarted, reloaded and stopped" {
	local pid
	pid=$(main_pid)
	systemctl reload rddrd.service
	[[ $(main_pid) == "$pid" && $(ctl --json status | jq .generation) == 2 ]]
	kill -KILL "$pid"
	wait_for "another daemon" 30 bash -c "p=\$(systemctl show -P MainPID rddrd.service); (( p && p != $pid )) && rddrctl status"
	wait_for "steering" 30 steered
	[[ $(get http://10.0.2.2/) == "$PAGE" ]]
	finish
	no pgrep -x rddrd
	diff /var/tmp/before <(host_snapshot)
}
