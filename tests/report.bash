# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# How the suite's parts say what came out: a readable line for each test, and a line in $RDDR_RESULTS for the sum at the end.

RDDR_RESULTS="${RDDR_RESULTS:-}"
if [[ -t 1 ]]; then
	_green=$'\e[32m' _red=$'\e[31m' _yellow=$'\e[33m' _dim=$'\e[2m' _off=$'\e[0m'
else
	_green='' _red='' _yellow='' _dim='' _off=''
fi

# result pass|fail|skip STAGE NAME [DETAIL]
result() {
	local kind=$1 stage=$2 name=$3 detail=${4:-} line
	case $kind in
	pass) printf '%sok%s    %s%s%s %s\n' "$_green" "$_off" "$_dim" "$stage" "$_off" "$name" ;;
	skip) printf '%sskip%s  %s %s (%s)\n' "$_yellow" "$_off" "$stage" "$name" "$detail" ;;
	fail)
		printf '%sFAIL%s  %s %s\n' "$_red" "$_off" "$stage" "$name"
		[[ -z $detail ]] || while IFS= read -r line; do printf '        %s\n' "$line"; done <<<"$detail"
		;;
	esac
	if [[ -n $RDDR_RESULTS ]]; then
		printf '%s\t%s\t%s\t%s\n' "$kind" "$stage" "$name" "$(printf %s "$detail" | head -c 4000 | tr '\n\t' '\r ')" >>"$RDDR_RESULTS"
	fi
}

_skip_expected() {
	[[ $1 == "kernel without "* ]] || return 1
	# A file of features that may be missing: there, nothing else may be.
	[[ -z ${RDDR_EXPECTED_SKIPS:-} ]] || grep -qxF "${1#kernel without }" "$RDDR_EXPECTED_SKIPS"
}

# Reads TAP (of bats or of cmocka) and reports each test. Fails when a test did, or when tests are missing from the plan.
# report_tap STAGE LABEL
report_tap() {
	local stage=$1 label=$2 line planned=0 seen=0 bad=0 kind="" name="" detail="" reason not
	_flush() {
		[[ -n $kind ]] || return 0
		[[ $kind != fail ]] || bad=1
		result "$kind" "$stage" "$label: $name" "$detail"
		kind="" detail=""
	}
	while IFS= read -r line; do
		if [[ $line =~ ^1\.\.([0-9]+)$ ]]; then
			planned=$((planned + BASH_REMATCH[1]))
		elif [[ $line =~ ^(not\ )?ok\ [0-9]+(\ -)?\ (.*)$ ]]; then
			_flush
			seen=$((seen + 1))
			name=${BASH_REMATCH[3]}
			not=${BASH_REMATCH[1]}
			# bats adds how long it took; worth showing where it was long.
			if [[ $name =~ ^(.*)\ in\ ([0-9]+)ms(.*)$ ]]; then
				name=${BASH_REMATCH[1]}${BASH_REMATCH[3]}
				((BASH_REMATCH[2] < 10000)) || name+=" ($((BASH_REMATCH[2] / 1000)) s)"
			fi
			if [[ -n $not ]]; then
				kind=fail
			elif [[ $name =~ ^(.*)\ \#\ (skip|SKIP)\ ?(.*)$ ]]; then
				name=${BASH_REMATCH[1]} reason=${BASH_REMATCH[3]}
				if _skip_expected "$reason"; then
					kind=skip detail=$reason
				else
					kind=fail detail="a skip that is not expected: $reason"
				fi
			else
				kind=pass
			fi
		elif [[ $line == '# figure: '* ]]; then
			# What a test has measured, said while it runs (bats: >&3).
			printf '      %s: %s\n' "$label" "${line#\# figure: }"
		elif [[ $kind == fail ]]; then
			line=${line#\# }
			detail+="${detail:+$'\n'}$line"
		elif [[ -n $line && $line != \#* && $kind == "" ]]; then
			printf '        %s\n' "$line"
		fi
	done
	_flush
	if ((seen != planned || planned == 0)); then
		result fail "$stage" "$label: $seen of $planned planned tests ran"
		bad=1
	fi
	return $bad
}

# Prints the failures once more (not when brief) and the sum, which is the very last line. Fails when something failed.
summary() {
	local passed failed skipped kind stage name detail
	passed=$(grep -c '^pass' "$RDDR_RESULTS")
	failed=$(grep -c '^fail' "$RDDR_RESULTS")
	skipped=$(grep -c '^skip' "$RDDR_RESULTS")
	if ((failed)) && [[ ${1:-} != brief ]]; then
		printf '\n%d failed:\n' "$failed"
		while IFS=$'\t' read -r kind stage name detail; do
			[[ $kind == fail ]] || continue
			printf '%s  %s %s%s\n' "$_red" "$stage" "$name" "$_off"
			[[ -z $detail ]] || printf '%s\n' "$detail" | tr '\r' '\n' | tail -n 12 | sed 's/^/      /'
		done <"$RDDR_RESULTS"
	fi
	printf '\n%d passed, %d failed%s\n' "$passed" "$failed" "$( ((skipped)) && printf ', %d skipped' "$skipped")"
	((failed == 0 && passed > 0))
}
