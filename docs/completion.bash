# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# bash completion for RDDR's programs. What a program has is asked of its --help, so that it is never out of date.

_rddr_options() { "$1" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]+' | sort -u; }

# The first word of each line of the help's list of commands.
_rddr_commands() { "$1" --help 2>/dev/null | awk '/^Commands:/ { on = 1; next } on && /^$/ { exit } on && /^  [a-z]/ { print $1 }'; }

_rddr_services() { rddrctl --json services 2>/dev/null | grep -oE '"name": ?"[^"]+"' | cut -d'"' -f4 | sort -u; }
_rddr_references() { rddrctl --json evidence 2>/dev/null | grep -oE '"reference": ?"[^"]+"' | cut -d'"' -f4; }
_rddr_interfaces() { ip -o link show 2>/dev/null | awk -F'[:@] *' '$2 != "lo" { print $2 }'; }

_rddr() {
	local program=$1 word=$2 before=$3 words=""
	COMPREPLY=()
	case $before in
	-c | --config | --control)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	-p | --pin-dir | --plugin-dir)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -d -- "$word")
		return
		;;
	-i | --interface) words=$(_rddr_interfaces) ;;
	-g | --group)
		mapfile -t COMPREPLY < <(compgen -g -- "$word")
		return
		;;
	--log-level | log-level) words="error warning info debug" ;;
	noise) words=$(_rddr_services) ;;
	evidence) words=$(_rddr_references) ;;
	*)
		if [[ $word == -* ]]; then
			words=$(_rddr_options "$program")
		else
			case ${program##*/} in
			rddrctl | rddr-steer) words=$(_rddr_commands "$program") ;;
			*) words=$(_rddr_options "$program") ;;
			esac
		fi
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -F _rddr rddrd rddrctl rddr-steer rddr-attach rddr-detach rddr-status rddr-doctor
