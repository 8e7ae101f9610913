#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# A database that is there already: three clones of one cluster, asked as one, and one that tells something else is stopped.

load lib

sql() { in_ns c psql -X -At -v ON_ERROR_STOP=1 -h 10.0.2.2 -U postgres -d postgres "$@"; }
# on I SQL: at one server, past RDDR.
on() { in_ns "s$1" psql -X -At -h "$(server4 "$1")" -U postgres -d postgres -c "$2"; }

@test "PostgreSQL behind RDDR: what the clones agree on passes, writes reach all, what differs does not pass" {
	local i
	configure <<-END
		  db:
		    intercept: { address: 10.0.2.2, port: 5432, interface: eth-c }
		    instances:
		      - { name: live,    chainer: transparent, forge-addr: true }
		      - { name: twin,    chainer: directed, remote: "10.0.3.2:5432", forge-addr: true }
		      - { name: variant, chainer: directed, remote: "10.0.4.2:5432", forge-addr: true }
		    diff-class: postgres
	END
	begin
	sql -c "CREATE TABLE shoes (id int PRIMARY KEY, price int)" -c "INSERT INTO shoes SELECT n, n * 10 FROM generate_series(1, 500) n"
	[[ $(sql -c "SELECT count(*), sum(price) FROM shoes") == "500|1252500" ]]
	for i in 0 1 2; do
		[[ $(on "$i" "SELECT count(*), sum(price) FROM shoes") == "500|1252500" ]]
	done
	on 2 "UPDATE shoes SET price = 1 WHERE id = 7"
	[[ $(sql -c "SELECT price FROM shoes WHERE id = 8") == 80 ]]
	run sql -c "SELECT price FROM shoes WHERE id = 7"
	((status != 0))
	[[ $output != 70 && $output != 1 ]]
	[[ $(ctl --json evidence --limit 1 | jq -r '.evidence[0].minority') == variant ]]
	on 2 "UPDATE shoes SET price = 70 WHERE id = 7"
	[[ $(sql -c "SELECT price FROM shoes WHERE id = 7") == 70 ]]
	sql -c "DROP TABLE shoes"
	finish
	diff /var/tmp/before <(host_snapshot)
	[[ $(sql -c "SELECT 1") == 1 ]]
}
