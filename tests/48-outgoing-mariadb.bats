#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Three instances with one connection each on one real MariaDB, compared byte by byte: the server speaks first, so they are paired by their order.

bats_require_minimum_version 1.5.0
load lib

setup() {
	topology_up 4
	DATA="$RDDR_TMP/db"
	mkdir -p "$DATA" "$RDDR_TMP/run"
	mariadb-install-db --no-defaults --datadir="$DATA" --auth-root-authentication-method=normal --skip-test-db --user=root \
		>"$RDDR_TMP/install.log" 2>&1 || { tail -n 20 "$RDDR_TMP/install.log"; false; }
	spawn mariadbd s3 mariadbd --no-defaults --user=root --datadir="$DATA" --socket="$RDDR_TMP/run/sock" --pid-file="$RDDR_TMP/run/pid" \
		--port=3306 --bind-address=0.0.0.0 --skip-name-resolve --innodb-buffer-pool-size=16M --innodb-log-file-size=8M
	wait_for "MariaDB" 90 sql "SELECT 1"
	wait_tcp s3 0.0.0.0 3306
	sql "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY, item VARCHAR(40), seen VARCHAR(60));
		CREATE TRIGGER shop.who BEFORE INSERT ON shop.orders FOR EACH ROW SET NEW.seen = USER();
		CREATE USER app IDENTIFIED VIA mysql_native_password USING PASSWORD('secret'); GRANT ALL ON shop.* TO app;"
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		workers: 2
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		services:
		  database:
		    direction: outgoing
		    intercept: { address: $(server4 3), port: 3306 }
		    instances:
		      - { name: one,   clients: $(server4 0) }
		      - { name: two,   clients: $(server4 1) }
		      - { name: three, clients: $(server4 2) }
		    diff-class: bytes
		    deadlines: { connect: 30s, skew: 30s, idle: 120s }
		    gather: { partner: 30s }
	END
	attach
	start_rddrd "$RDDR_TMP/rddr.yaml"
	wait_for "steering" 20 steered
}
teardown() { topology_down; }

sql() { mariadb --no-defaults --socket="$RDDR_TMP/run/sock" --user=root --batch --skip-column-names -e "$1"; }
steered() { [[ $(ctl --json status | jq -r .steering.state) == attached ]]; }
_ended() { ! alive client-0 && ! alive client-1 && ! alive client-2; }

# three COUNT [TAMPERED]
three() {
	local i
	for i in 0 1 2; do
		rm -f "$RDDR_TMP/client-$i.log"
		spawn "client-$i" "s$i" env NODE_PATH=/usr/share/nodejs node "$RDDR_ROOT/tests/apps/outgoing/mysql.js" "$(server4 3)" 3306 "$1" \
			${2:+$([[ $2 == "$i" ]] && echo tamper)}
	done
	wait_for "the instances" 90 _ended
}

@test "every row is written once, as the first instance; a tampered instance's statement is stopped before the database" {
	three 20
	for i in 0 1 2; do
		cat "$RDDR_TMP/client-$i.log"
		grep -qx "rows 20 last item 20" "$RDDR_TMP/client-$i.log"
	done
	[[ $(sql "SELECT COUNT(*), COUNT(DISTINCT seen), MIN(seen) FROM shop.orders") == "20"$'\t'"1"$'\t'"app@$(server4 0)" ]]
	[[ $(counter database groups) == 1 && $(counter database denied) == 0 ]]

	sql "TRUNCATE shop.orders"
	three 5 2
	for i in 0 1 2; do grep -q "^error" "$RDDR_TMP/client-$i.log"; done
	[[ $(sql "SELECT GROUP_CONCAT(item ORDER BY id) FROM shop.orders") == "item 1,item 2" ]]
	[[ $(counter database denied_divergence) == 1 ]]
	[[ $(ctl --json evidence --limit 1 | jq -r '.evidence[0].minority') == three ]]
}
