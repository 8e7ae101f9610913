#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# Evidence: one line for each divergence, complete, bounded, rotated, and no burden on traffic when it cannot be written.

bats_require_minimum_version 1.5.0
load lib
load lib-operator

teardown() {
	mountpoint -q "$RDDR_TMP/small" && umount -l "$RDDR_TMP/small"
	topology_down
}

records() { cat "$RDDR_TMP"/evidence.jsonl* | wc -l; }
records_are() { [[ $(records) == "$1" ]]; }

@test "a record says who, where, when and what" {
	shop_up
	agreed
	denied
	wait_for "the record" 30 records_are 1
	cat "$RDDR_TMP/evidence.jsonl"
	jq -e --arg client "$CLIENT4:" --arg destination "$GATEWAY4:8080" '
		(.time | test("^20[0-9-]+T[0-9:]+\\.[0-9]{3}Z$")) and (.reference | test("^20[0-9]{6}-[0-9a-z]{10}$")) and
		.service == "shop" and (.client | startswith($client)) and .destination == $destination and
		.action == "deny" and .reason == "divergence" and .session > 0 and .request == 1 and .minority == "twin" and
		(.instances | map(.name)) == ["live", "twin", "variant"]' "$RDDR_TMP/evidence.jsonl"
	[[ $(jq -r '.instances[1].address' "$RDDR_TMP/evidence.jsonl") == "$(server4 1):80" ]]
	[[ $(jq -r '.instances[1].excerpt_base64' "$RDDR_TMP/evidence.jsonl" | base64 -d) == *"another page"* ]]
	[[ $(jq -r '.instances[2].excerpt' "$RDDR_TMP/evidence.jsonl") == *'page of the house\x0a' ]]
	[[ $(stat -c %a "$RDDR_TMP/evidence.jsonl") == 640 ]]

	# The offset is that of the first byte that differs.
	offset=$(jq .offset "$RDDR_TMP/evidence.jsonl")
	for i in 0 1; do
		start=$(jq ".instances[$i].excerpt_offset" "$RDDR_TMP/evidence.jsonl")
		jq -r ".instances[$i].excerpt_base64" "$RDDR_TMP/evidence.jsonl" | base64 -d |
			tail -c "+$((offset - start + 1))" >"$RDDR_TMP/side$i"
		head -c 1 "$RDDR_TMP/side$i" >>"$RDDR_TMP/first"
	done
	[[ $(<"$RDDR_TMP/first") =~ ^(.)(.)$ && ${BASH_REMATCH[1]} != "${BASH_REMATCH[2]}" ]]
}

@test "rddrctl shows the newest first, and one by its reference" {
	shop_up
	for _ in 1 2 3; do
		denied
	done
	run -0 ctl evidence --limit 2
	echo "$output"
	[[ ${#lines[@]} == 3 ]]
	mapfile -t references < <(tac "$RDDR_TMP/evidence.jsonl" | jq -r .reference)
	[[ ${lines[1]} == "${references[0]} "* && ${lines[2]} == "${references[1]} "* ]]
	run -0 ctl evidence "${references[2]}"
	echo "$output"
	[[ $output == *"where they differ first"*"another page, of its own"* ]]
	ctl --json evidence "${references[2]}" | jq -e --arg r "${references[2]}" '.evidence[0].reference == $r'
	run -1 ctl evidence 20200101-0000000000
	[[ $output == *"20200101-0000000000"* ]]
	# The references name records in the log, too.
	stop rddrd
	for reference in "${references[@]}"; do
		log_of rddrd | grep -q "reference=$reference "
	done
}

@test "instances that refuse are in the record" {
	shop_up
	stop_nginx 2
	run get
	wait_for "the record" 30 records_are 1
	cat "$RDDR_TMP/evidence.jsonl"
	jq -e '.reason == "missing" and .minority == "variant" and .instances[2].state == "missing" and
		.instances[2].received == 0 and (.why | contains("refused"))' "$RDDR_TMP/evidence.jsonl"
}

@test "answers that are no text, and no UTF-8, make good JSON" {
	shop_up
	head -c 100000 /dev/urandom >"$RDDR_TMP/s0/www/noise"
	cp "$RDDR_TMP/s0/www/noise" "$RDDR_TMP/s2/www/noise"
	{ head -c 50000 "$RDDR_TMP/s0/www/noise"; head -c 50000 /dev/urandom; } >"$RDDR_TMP/s1/www/noise"
	run in_ns c curl -s --max-time 60 -o /dev/null "$SHOP/noise"
	wait_for "the record" 30 records_are 1
	iconv -f UTF-8 -t UTF-8 "$RDDR_TMP/evidence.jsonl" >/dev/null
	jq -e '[.instances[].excerpt | explode[] | select(. < 32 or (. > 126 and . < 160))] == []' "$RDDR_TMP/evidence.jsonl"
	for i in 0 1 2; do
		bytes=$(jq -r ".instances[$i].excerpt_base64" "$RDDR_TMP/evidence.jsonl" | base64 -d | wc -c)
		((bytes > 0 && bytes <= 256))
	done
}

@test "the files are rotated at their size, and only so many are kept" {
	shop_up "evidence: { file: $RDDR_TMP/evidence.jsonl, max-size: 64KiB, keep: 2, excerpt: 16KiB }"
	for i in 0 1 2; do
		head -c 20000 /dev/zero | tr '\0' "$((i == 1))" >"$RDDR_TMP/s$i/www/long"
	done
	for _ in $(seq 12); do
		run in_ns c curl -s --max-time 60 -o /dev/null "$SHOP/long"
	done
	[[ $(ctl --json evidence --limit 1 | jq '.evidence | length') == 1 ]]
	ls -l "$RDDR_TMP"
	[[ $(counter shop evidence_recorded) == 12 && $(counter shop evidence_dropped) == 0 ]]
	[[ -s $RDDR_TMP/evidence.jsonl && -s $RDDR_TMP/evidence.jsonl.1 && -s $RDDR_TMP/evidence.jsonl.2 ]]
	[[ ! -e $RDDR_TMP/evidence.jsonl.3 ]]
	for file in "$RDDR_TMP"/evidence.jsonl*; do
		(($(stat -c %s "$file") <= 65536 || $(wc -l <"$file") == 1))
		jq -e .reference "$file" >/dev/null
	done
	# rddrctl goes through all of them.
	[[ $(ctl --json evidence --limit 100 | jq '.evidence | length') == $(records) ]]
	oldest=$(head -n 1 "$RDDR_TMP/evidence.jsonl.2" | jq -r .reference)
	ctl evidence "$oldest" >/dev/null
}

@test "a full disk loses records, counts them, and denies all the same" {
	mkdir -p "$RDDR_TMP"
	shop_up "evidence: { file: $RDDR_TMP/late/evidence.jsonl }"
	mkdir "$RDDR_TMP/small"
	mount -t tmpfs -o size=64k rddr-test "$RDDR_TMP/small"
	sed -i "s|late/evidence|small/evidence|" "$RDDR_TMP/rddr.yaml"
	ctl reload
	denied
	wait_for "the first record" 30 test -s "$RDDR_TMP/small/evidence.jsonl"
	dd if=/dev/zero of="$RDDR_TMP/small/filler" bs=1k 2>/dev/null || true
	for _ in 1 2 3 4 5 6; do
		denied
		agreed
	done
	lost_some() { (($(counter - evidence_dropped) >= 1)); }
	wait_for "lost records" 30 lost_some
	rm "$RDDR_TMP/small/filler"
	denied
	ctl evidence --limit 1
	# Every line that is there is whole.
	jq -e .reference "$RDDR_TMP/small/evidence.jsonl" >/dev/null
	lost=$(counter - evidence_dropped)
	[[ $(wc -l <"$RDDR_TMP/small/evidence.jsonl") == $((8 - lost)) ]]
	[[ $(counter shop denied) == 8 ]]
	stop rddrd
	log_of rddrd
	[[ $(log_of rddrd | grep -c 'error evidence: records are lost, the file cannot be written') == 1 ]]
	[[ $(log_of rddrd | grep -c "warning evidence: the file can be written again .* lost=$lost\$") == 1 ]]
}

@test "a file that is moved away is begun anew" {
	shop_up
	denied
	wait_for "the record" 30 records_are 1
	mv "$RDDR_TMP/evidence.jsonl" "$RDDR_TMP/archive"
	denied
	wait_for "the next record" 30 test -s "$RDDR_TMP/evidence.jsonl"
	[[ $(wc -l <"$RDDR_TMP/archive") == 1 ]]
}

@test "nothing is kept when the config says so" {
	shop_up "evidence: { file: '' }"
	denied
	run -0 ctl evidence
	[[ $output == "no evidence" ]]
	[[ ! -e $RDDR_TMP/evidence.jsonl ]]
}

@test "every example of the manual runs" {
	shop_up
	denied
	wait_for "the record" 30 records_are 1
	awk '/^\.Sh/ { in_examples = /EXAMPLES/ } /^\.Ed/ { code = 0 } in_examples && code { print } /^\.Bd/ { code = 1 }' \
		"$RDDR_ROOT/docs/rddr-evidence.5" | sed "s|/var/log/rddr|$RDDR_TMP|; s/\\\\e/\\\\/g" >"$RDDR_TMP/examples"
	[[ $(wc -l <"$RDDR_TMP/examples") == 2 ]]
	run -0 bash -c "$(sed -n 1p "$RDDR_TMP/examples")"
	[[ $output =~ ^\ *1\ twin$ ]]
	run -0 bash -c "$(sed -n 2p "$RDDR_TMP/examples")"
	[[ $output == *"another page"* ]]
}
