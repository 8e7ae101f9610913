#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# A user's plugin: the skeleton, copied out of the tree and compiled with nothing but the installed header, judges real services; and files that are
# no plugins for this daemon are refused before anything of them runs. The daemon listens by itself; no kernel programs are attached.

bats_require_minimum_version 1.5.0
load lib

setup() {
	topology_up 0
	MINE="$RDDR_TMP/mine"
	mkdir -p "$MINE/include"
	install -m 644 "$RDDR_ROOT/diff/rddr_diff.h" "$MINE/include/"
	cp "$RDDR_ROOT/diff/skeleton.c" "$MINE/mine.c"
}
teardown() { topology_down; }

# The command line that the skeleton's own head names, run in a folder that holds the copy.
compile_mine() {
	local line
	line=$(sed -n 's/^ \*\t\(cc .*mine\.so mine\.c .*\)/\1/p' "$MINE/mine.c")
	[[ $line == cc\ * ]]
	# The manual has the same.
	grep -qxF "$line" "$RDDR_ROOT/docs/rddr-diff.3"
	(cd "$MINE" && CPATH="$MINE/include" bash -c "$line -Wall -Wextra -Werror")
}

# compile NAME SOURCE-LINES [OPTION...]: a small plugin whose constructor leaves a file behind.
compile() {
	local name=$1 source=$2
	shift 2
	cat >"$MINE/$name.c" <<-END
		#include <fcntl.h>
		#include <unistd.h>
		#include <rddr_diff.h>
		static __attribute__((constructor)) void born(void) { close(open("$MINE/$name.ran", O_CREAT | O_WRONLY, 0600)); }
		#define BEGINS .abi = RDDR_DIFF_ABI, .size = sizeof(rddr_diff_plugin), .name = "$name"
		$source
	END
	cc -std=gnu11 -fPIC -shared -Wno-override-init -I"$MINE/include" -o "$MINE/$name.so" "$MINE/$name.c" "$@"
}

# config [FILTER LINES]: a service of three instances, judged by the copy.
config() {
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		services:
		  lines:
		    listen: 127.0.0.1:7000
		    instances:
		      - { name: first, chainer: directed, remote: "127.0.0.1:7001" }
		      - { name: second, chainer: directed, remote: "127.0.0.1:7002" }
		      - { name: third, chainer: directed, remote: "127.0.0.1:7003" }
		    diff-class: ${1:-$MINE/mine.so}
		    diff-params: ${2:-"{ max-line: 40, translate: \"@INSTANCE@\" }"}
	END
}

# Three servers of lines: each answers in its own way what it is asked for, and notes down what it was asked.
start_servers() {
	local i
	cat >"$MINE/serve" <<-'END'
		#!/bin/bash
		end=$'\n'
		[[ $1 != 2 ]] || end=$'\r\n'
		while IFS= read -r line; do
			line=${line%$'\r'}
			echo "$line" >>"$0.asked.$1"
			case $line in
			tell*) printf 'told%s' "$end" ;;
			secret) printf 'secret of %s%s' "$1" "$end" ;;
			leave) exit ;;
			*) printf '%s, heard%s' "$line" "$end" ;;
			esac
		done
	END
	chmod +x "$MINE/serve"
	for i in 0 1 2; do
		spawn "serve$i" g socat "TCP-LISTEN:$((7001 + i)),bind=127.0.0.1,reuseaddr,fork" "EXEC:$MINE/serve $i"
	done
	for i in 0 1 2; do
		wait_tcp g 127.0.0.1 "$((7001 + i))"
	done
}

# A client's connection that stays: dial NAME, then say_line NAME TEXT, and heard NAME has what came back.
dial() {
	mkfifo "$RDDR_TMP/$1.in"
	# Opened both ways a FIFO never ends.
	# shellcheck disable=SC2016 # for the inner shell
	spawn "$1" g bash -c 'exec socat STDIO "TCP:127.0.0.1:7000" <>"$0"' "$RDDR_TMP/$1.in"
}
say_line() { printf '%s\n' "$2" >"$RDDR_TMP/$1.in"; }
heard() { grep -q "$2" "$RDDR_TMP/$1.log"; }

# ask TEXT: sends it, closes that half, and prints everything that comes back.
ask() { printf '%b' "$1" | in_ns g timeout "$((60 * RDDR_PATIENCE))" socat -t "$((60 * RDDR_PATIENCE))" STDIO TCP:127.0.0.1:7000; }

asked() { cat "$MINE/serve.asked.$1"; }

@test "a copy of the skeleton judges a real service" {
	compile_mine
	config
	start_servers
	start_rddrd "$RDDR_TMP/rddr.yaml"

	# Lines whose ends differ are the same; the source's go out.
	ask 'one\r\ntwo\n' >"$RDDR_TMP/answer"
	cmp "$RDDR_TMP/answer" <(printf 'one, heard\ntwo, heard\n')
	# Each instance is asked with its own number.
	[[ $(ask 'tell @INSTANCE@ of @INSTANCE@\n') == told ]]
	[[ $(asked 0 | tail -n 1) == "tell 0 of 0" ]]
	[[ $(asked 2 | tail -n 1) == "tell 2 of 2" ]]

	# What differs is denied with a line of the plugin's own, which names the evidence; the agreeing line before it went out.
	run -0 ask 'one\nsecret\n'
	[[ ${lines[0]} == "one, heard" ]]
	[[ ${lines[1]} =~ ^denied\ ([^ ]+)$'\r'$ ]]
	run -0 ctl --json evidence "${BASH_REMATCH[1]}"
	[[ $output == *'"line 2"'* ]]
	(($(counter lines bytes_compared) > 0))

	# What is rejected reaches nobody.
	run -0 ask 'this line has more than forty bytes, all in all\n'
	[[ $output =~ ^denied ]]
	for i in 0 1 2; do
		run ! grep -q "forty" "$MINE/serve.asked.$i"
	done
}

@test "a byte at a time it judges the same" {
	compile_mine
	config
	start_servers
	start_rddrd "$RDDR_TMP/rddr.yaml"
	# shellcheck disable=SC2016 # for the inner shell
	run -0 in_ns g timeout "$((60 * RDDR_PATIENCE))" bash -c '
		exec 5<>/dev/tcp/127.0.0.1/7000
		text=$'"'"'hello\r\ntell @INSTANCE@\nsecret\n'"'"'
		for ((i = 0; i < ${#text}; i++)); do printf "%s" "${text:i:1}" >&5; done
		cat <&5'
	[[ ${lines[0]} == "hello, heard" ]]
	[[ ${lines[1]} == "told" ]]
	[[ ${lines[2]} == denied* ]]
	[[ ${#lines[@]} == 3 ]]
	[[ $(asked 1 | sed -n 2p) == "tell 1" ]]
}

@test "what diff-params say wrong is named by the plugin, with its place in the file" {
	compile_mine
	config "$MINE/mine.so" '{ max-line: 0 }'
	run -1 rddrd --check --config "$RDDR_TMP/rddr.yaml"
	echo "$output"
	[[ $output == *"rddr.yaml:10:"*"diff-params.max-line: 0: must be a number from 1 to 65536"* ]]
	config "$MINE/mine.so" '{ min-line: 1 }'
	run -1 rddrd --check --config "$RDDR_TMP/rddr.yaml"
	[[ $output == *"diff-params.min-line: no such key"* ]]
	config bytes '{ a-key: 1 }'
	run -1 rddrd --check --config "$RDDR_TMP/rddr.yaml" --plugin-dir "$RDDR_BUILD/diff"
	[[ $output == *"diff-params.a-key: no such key"* ]]
	config
	run -0 rddrd --check --config "$RDDR_TMP/rddr.yaml"
}

# refused NAME WORDS: --check fails with them and the file's name, and nothing of the file has run.
refused() {
	config "$MINE/$1.so" '{}'
	run -1 rddrd --check --config "$RDDR_TMP/rddr.yaml"
	echo "$output"
	[[ $output == *"rddr.yaml:9:"*"$MINE/$1.so: "*"$2"* ]]
	[[ ! -e $MINE/$1.ran ]]
}

@test "a file that is no plugin for this daemon is refused before it runs" {
	# That the constructor does leave its mark is seen by one that is fit.
	compile fit 'const struct rddr_diff_plugin rddr_diff_plugin = { BEGINS };'
	config "$MINE/fit.so" '{}'
	run -0 rddrd --check --config "$RDDR_TMP/rddr.yaml"
	[[ -e $MINE/fit.ran ]]

	compile abi 'const struct rddr_diff_plugin rddr_diff_plugin = { BEGINS, .abi = 2 };'
	refused abi "is of ABI 2, this rddr knows 1"
	compile short 'const struct rddr_diff_plugin rddr_diff_plugin = { BEGINS, .size = 8 };'
	refused short "says that its size is 8"
	compile long 'const struct rddr_diff_plugin rddr_diff_plugin = { BEGINS, .size = 4096 };'
	refused long "says that its size is 4096"
	compile newer 'const struct { struct rddr_diff_plugin known; void *more; } table __asm__("rddr_diff_plugin") =
		{ .known = { BEGINS, .size = sizeof(table) }, .more = &born };'
	refused newer "operations that this rddr does not know"
	compile nothing 'int nothing;'
	refused nothing "exports no rddr_diff_plugin"
	compile undefined 'void missing(void); void use(void) { missing(); }
		const struct rddr_diff_plugin rddr_diff_plugin = { BEGINS };'
	refused undefined "missing"
	echo "text" >"$MINE/text.so"
	refused text "no shared object"
	refused none "No such file"
	compile open 'const struct rddr_diff_plugin rddr_diff_plugin = { BEGINS };'
	chmod o+w "$MINE/open.so"
	refused open "written by anybody"
	chmod o-w "$MINE/open.so"
	chown 12345 "$MINE/open.so"
	refused open "belongs to user 12345"

	config htpp '{}'
	run -1 rddrd --check --config "$RDDR_TMP/rddr.yaml" --plugin-dir "$RDDR_BUILD/diff"
	[[ $output == *'no diff-class "htpp": there are bytes'* ]]
}

@test "a plugin replaced on disk is taken by a reload, and sessions keep the one they began with" {
	compile_mine
	config
	start_servers
	start_rddrd "$RDDR_TMP/rddr.yaml"
	dial old
	say_line old one
	wait_for "the first answer" 30 heard old "one, heard"

	# Written over in place: a daemon that had mapped the file itself would die of it.
	sed -i 's/"denied %s/"refused %s/' "$MINE/mine.c"
	cp "$MINE/mine.so" "$MINE/mine.so.old"
	compile_mine
	mv "$MINE/mine.so" "$MINE/new.so"
	mv "$MINE/mine.so.old" "$MINE/mine.so"
	cat "$MINE/new.so" >"$MINE/mine.so"
	say_line old two
	wait_for "an answer with the file replaced" 30 heard old "two, heard"
	[[ $(ask 'secret\n') == denied* ]]

	ctl reload
	wait_for "the reload" 30 grep -q "reload: done" "$RDDR_TMP/rddrd.log"
	[[ $(ask 'secret\n') == refused* ]]
	say_line old secret
	wait_for "the old session's denial" 30 heard old "^denied "
	alive rddrd
}

_serves_nobody() { ! pgrep -P "$(pid_of "$1")"; }

@test "an instance that leaves between two exchanges is dialled again" {
	compile_mine
	config
	start_servers
	start_rddrd "$RDDR_TMP/rddr.yaml"
	dial client
	say_line client one
	wait_for "the first answer" 30 heard client "one, heard"
	# The second's connection ends; its listener stays.
	kill "$(pgrep -P "$(pid_of serve1)")"
	wait_for "the connection's end" 30 _serves_nobody serve1
	say_line client two
	wait_for "the second answer" 30 heard client "two, heard"
	[[ $(asked 1) == $'one\ntwo' ]]
}

# A plugin that lets out more than it has judged, in the ways that there are, and then its own denial.
@test "what a plugin lets out past what it has judged does not go in front of the denial" {
	local way
	start_servers
	for way in 'r->release = v[0].len' 'st->host->release(st->session, v[0].len)' \
		'st->host->emit(st->session, RDDR_LONE, v[0].data, v[0].len); r->consumed[0] = v[0].len + 1'; do
		compile greedy '
			#include <stdlib.h>
			#include <string.h>
			struct st { const struct rddr_host *host; struct rddr_session *session; };
			static int create(const struct rddr_diff_create *a, void **out)
			{
				struct st *st = malloc(sizeof(*st));
				*st = (struct st){a->host, a->session};
				*out = st;
				return 0;
			}
			static enum rddr_verdict judge(void *state, const struct rddr_view v[], unsigned n, struct rddr_diff_result *r)
			{
				struct st *st = state;
				if (!v[0].len)
					return RDDR_WAIT;
				r->consumed[0] = 1;
				'"$way"';
				return n && st ? RDDR_AGREE : RDDR_WAIT;
			}
			static void deny(void *state, const struct rddr_denial *d)
			{
				struct st *st = state;
				st->host->emit(st->session, RDDR_LONE, "denied", d ? 6 : 0);
			}
			const struct rddr_diff_plugin rddr_diff_plugin = { BEGINS, .create = create, .destroy = free,
				.diff_traffic = judge, .render_denial = deny };'
		config "$MINE/greedy.so" '{}'
		start_rddrd "$RDDR_TMP/rddr.yaml"
		run -0 ask 'secret\n'
		[[ $output == denied ]] || { say "$way: $output"; return 1; }
		[[ $(counter lines denied_failed) == 1 ]]
		stop rddrd TERM
	done
}
