# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Part of rddr-doctor: the way that packets take through this network namespace, and to the servers and back.

# --- routing ---------------------------------------------------------------------------------------------------------

# Whether any rule is of a family ("4" or "6").
has_family() {
	local rule
	for rule in "${RULES[@]}"; do
		IFS=$TAB read -r _ rule _ <<<"$rule"
		if { [[ $1 == 6 ]] && [[ $rule == *:* ]]; } || { [[ $1 == 4 ]] && [[ $rule != *:* ]]; }; then
			return 0
		fi
	done
	return 1
}

check_routing() {
	local family missing
	for family in "${FAMILIES[@]}"; do
		missing=""
		has_rule "$family" || missing="the rule 'fwmark $MARK/$MASK lookup $TABLE'"
		has_route "$family" || missing+="${missing:+ and }the route 'local default dev lo table $TABLE'"
		if [[ -n $missing ]]; then
			problem routing "IPv${family#-}: $missing missing" \
				"packets of steered connections are marked as they come in; without this they are
				forwarded to the server instead of reaching the daemon" \
				"$(attach_command)"
			can_fix fix_attach
		else
			ok routing "IPv${family#-}: marked packets are brought to this host"
			check_paths "$family"
		fi
	done
	if [[ ${FAMILIES[*]} != *-6* ]] && has_family 6; then
		problem routing "IPv6 is switched off here, and services have IPv6 addresses" "" \
			"sysctl -w net/ipv6/conf/all/disable_ipv6=0, then $(attach_command)"
	fi
}

# An address of a prefix; where it can be, one that is not this host's.
sample_of() {
	local host=${1%/*} n
	case $1 in
	*/32 | */128) ;;
	0.0.0.0/0) host=192.0.2.1 ;;
	::/0) host=2001:db8::1 ;;
	*.0/* | *::/*)
		for n in 1 2 3; do
			[[ $(server_route "${host%0}$n") == *local ]] || break
		done
		host=${host%0}$n
		;;
	esac
	say "$host"
}
# An address of the network that an interface is in, other than its own: sample_neighbour FAMILY IF.
sample_neighbour() {
	local own last
	own=$(ip -o "$1" addr show dev "$2" scope global 2>/dev/null | awk '{ sub(/\/.*/, "", $4); print $4; exit }')
	[[ -n $own ]] || return 1
	if [[ $1 == -4 ]]; then
		last=${own##*.}
		say "${own%.*}.$((last < 254 ? last + 1 : last - 1))"
	else
		last=${own##*:}
		printf '%s:%x\n' "${own%:*}" "$(((16#${last:-0} ^ 1) ? 16#${last:-0} ^ 1 : 2))"
	fi
}

# check_paths FAMILY: asks the kernel which way a marked packet to each service would take.
check_paths() {
	local family=$1 rule name destination port interface clients each
	local -A asked=()
	for rule in "${RULES[@]}"; do
		IFS=$TAB read -r name destination port interface clients <<<"$rule"
		[[ $family == -6 ]] || [[ $destination != *:* ]] || continue
		[[ $family == -4 ]] || [[ $destination == *:* ]] || continue
		for each in "${ATTACHED[@]}"; do
			[[ $interface == - || $interface == "$each" ]] || continue
			[[ -z ${asked["$destination $each"]:-} ]] || continue
			asked["$destination $each"]=1
			# One that is wrong is enough to say.
			check_path "$family" "$name" "$destination" "${port/#-/80}" "$each" "$clients" || break
			((${#asked[@]} < 256)) || return 0
		done
	done
}
check_path() {
	local family=$1 name=$2 port=$4 interface=$5 to from answer before why
	to=$(sample_of "$3")
	if [[ $6 != - ]]; then
		from=$(sample_of "$6")
	else
		from=$(sample_neighbour "$family" "$interface") || return 0
	fi
	[[ $from != "$to" ]] || return 0
	answer=$(ip "$family" route get "$to" from "$from" iif "$interface" mark "$MARK" \
		ipproto tcp sport 40000 dport "$port" 2>&1) || true
	answer=${answer%%$'\n'*}
	[[ $answer != "local "* ]] || return 0
	before=$(ip "$family" rule show | awk -v pref="$PRIORITY" '
		$1 + 0 < pref && $0 !~ /lookup local/ { sub(/[ \t]+/, " "); printf "%s\"%s\"", sep, $0; sep = ", " }')
	why="asked, it says: $answer."
	if [[ -n $before ]]; then
		why+=" Rules of somebody else's come before ours: $before"
	elif [[ $answer == *"nvalid "* && $(effective src_valid_mark "$interface" or) == 1 ]]; then
		why+=" src_valid_mark is set, so the way back is looked up with our mark"
	elif [[ $answer == *"nvalid "* ]]; then
		why+=" The check of source addresses (rp_filter is $(effective rp_filter "$interface" max)) finds no way
			back to that client by $interface"
	fi
	problem routing "the kernel would not bring a packet from $from to $name ($to) that comes in by $interface
		to this host" "$why" \
		"$(either "$before" "move those rules behind priority $PRIORITY, or except our mark from them" \
			"give the client's network a route by $interface, or:
			sysctl -w net/ipv4/conf/$interface/rp_filter=2")"
	return 1
}

# --- sysctls ---------------------------------------------------------------------------------------------------------

check_sysctls() {
	local key value why found=0 name
	((${#WANTED[@]})) || return 0
	while IFS=$TAB read -r key value why; do
		found=1
		name="$key is $(sysctl_get "$key")"
		if [[ ${key##*/} == @(src_valid_mark|accept_source_route|seg6_enabled|rpl_seg_enabled) ]]; then
			problem sysctls "$name" "$why" "sysctl -w $key=$value"
		else
			warning sysctls "$name" "$why" "sysctl -w $key=$value"
		fi
		can_fix fix_sysctl "$key" "$value"
	done < <(sysctl_needs "${WANTED[@]}")
	((found)) || ok sysctls "forwarding is on, no check of source addresses is in the way, and senders do not choose the way"
}

# --- packet filters --------------------------------------------------------------------------------------------------

rulesets() {
	if type -P nft >/dev/null; then
		printf 'rules\tnft\n'
		nft -nn list ruleset 2>/dev/null || true
	else
		legacy_rulesets iptables-save ip6tables-save
	fi
	legacy_rulesets iptables-legacy-save ip6tables-legacy-save
}
legacy_rulesets() {
	if type -P "$1" >/dev/null; then
		printf 'rules\tiptables\tip\n'
		"$1" 2>/dev/null || true
	fi
	if type -P "$2" >/dev/null; then
		printf 'rules\tiptables\tip6\n'
		"$2" 2>/dev/null || true
	fi
}

firewall_input() {
	((!${#RULES[@]})) || printf 'service\t%s\n' "${RULES[@]}"
	((!${#ATTACHED[@]})) || printf 'attached\t%s\n' "${ATTACHED[@]}"
	if [[ $(printf '%s\n' "${INSTANCES[@]}") == *"${TAB}forged${TAB}"* ]]; then
		printf 'forged\n'
	fi
	rulesets
}

check_firewall() {
	local level code service chain rule why remedy found=0
	local -A reasons=(
		[drop]="steered packets are delivered to this host, so it is the input chains that they pass, with the
			server's address as their destination"
		[policy]="steered packets are delivered to this host, so an input chain has to accept them, with the
			server's address as their destination"
		[tproxy]="it hands the connection to another program's socket before RDDR's is chosen"
		[nat]="it changes the destination before RDDR's socket is chosen, so that the connection is no longer
			one of the service's"
		[dnat]="connections to another address are sent on to the server behind RDDR's back: they are never
			steered, nor compared"
		[notrack]="connections that conntrack sees on one side only are invalid to stateful rules"
		[mark]="it overwrites the mark by which RDDR brings packets to this host (bits $MASK are ours)"
		[rpfilter]="packets whose way back leaves by another interface are dropped"
		[rpfilter-mark]="it looks the way back up with the packet's mark, which is RDDR's own and leads to this
			host, so every steered packet is dropped"
		[output]="the daemon's own connections to the servers, and its answers, pass the output chains"
		[snat]="it gives forged connections another source, so that servers do not see the client's address"
	)
	while IFS=$TAB read -r level code service chain rule; do
		found=1
		why=${reasons[$code]}
		[[ $service == - ]] || why="for $service: $why"
		remedy="except the services' addresses and ports from it, or accept them before it"
		[[ $code != dnat ]] || remedy="intercept that address as well, as one more of the service's"
		"$level" firewall "$chain: $rule" "$why" "$remedy"
	done < <(firewall_input | awk -v markmask="${MASK#0x}" -f "$LIB_DIR/firewall.awk")
	((found)) || ok firewall "nothing that is known to be in the way"
}

# --- servers ---------------------------------------------------------------------------------------------------------

# Tries to connect, and says in one word how it went.
knock() {
	local said status=0
	# shellcheck disable=SC2016 # for the inner shell
	said=$(timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/$2"' knock "$1" "$2" 2>&1) || status=$?
	case $status$said in
	0*) say connected ;;
	124*) say "no answer in 5 s" ;;
	*refused*) say "it refuses connections" ;;
	*) say "${said##*: }" ;;
	esac
}

# server_route ADDRESS: the interface by which it is reached, and "direct" or "routed"; "lo local" for this host
# itself.
server_route() {
	ip route get "$1" 2>/dev/null | awk 'NR == 1 {
		how = $1 == "local" ? "local" : "direct"
		for (i = 1; i < NF; i++) {
			if ($i == "dev") dev = $(i + 1)
			if ($i == "via") how = "routed"
		}
		print dev, how
	}'
}

# The interfaces by which a service's clients come in, as far as is known; "sure" when they are known to be next to
# it.
client_interfaces() {
	local rule name interface clients route
	for rule in "${RULES[@]}"; do
		IFS=$TAB read -r name _ _ interface clients <<<"$rule"
		[[ $name == "$1" ]] || continue
		if [[ $clients != - ]]; then
			route=$(server_route "$(sample_of "$clients")")
			say "${route/%direct/sure}"
		elif [[ $interface != - ]]; then
			say "$interface perhaps"
		else
			ip -o route show default | devices | sed 's/$/ perhaps/'
			((${#ATTACHED[@]} != 1)) || say "${ATTACHED[0]} perhaps"
		fi
	done | sort -u
}

# check_return SERVICE INSTANCE ADDRESS INTERFACE HOW: the answers to forged addresses have to come back through
# here.
check_return() {
	local label="$1/$2 ($3)" interface=$4 how=$5 client sure
	local remedy="put servers and clients into different networks, with this gateway as the servers' router,
		or use forge-addr: false"
	if [[ $how == local ]]; then
		problem servers "$label is on this host, with forge-addr: true" \
			"its answers to the client's address leave by the network instead of coming back to the daemon" \
			"use forge-addr: false for it"
		return 0
	fi
	if [[ $(our_filters "$interface") == "" ]]; then
		problem servers "$label is reached by $interface, which has no filter of RDDR's" \
			"it answers to the client's address; without a filter the answers are forwarded to the client,
			who resets the connection" "rddr-attach --interface $interface"
		WANTED+=("$interface")
		can_fix fix_attach
	fi
	while read -r client sure; do
		[[ $client == "$interface" ]] || continue
		if [[ $sure == sure && $how == direct ]]; then
			problem servers "$label is in the same network as its clients, by $interface" \
				"its answers go to the client directly, past this gateway, and the client resets them" "$remedy"
		else
			warning servers "$label is reached by $interface, by which clients come in as well" \
				"a server that knows another way to a client answers past this gateway;
				then the client resets the connection" "$remedy"
		fi
		if [[ $(effective send_redirects "$interface" or) == 1 ]]; then
			warning servers "this gateway tells hosts on $interface of shorter ways (send_redirects)" \
				"clients and servers in one network then leave the gateway out" \
				"sysctl -w net/ipv4/conf/all/send_redirects=0 net/ipv4/conf/$interface/send_redirects=0"
			can_fix fix_sysctl net/ipv4/conf/all/send_redirects 0
			can_fix fix_sysctl "net/ipv4/conf/$interface/send_redirects" 0
		fi
	done < <(client_interfaces "$1")
}

# Where an instance is dialled: lines ADDRESS<tab>PORT; nothing where only a client says so.
targets() {
	local service=$1 address=$2 port=$3 rule name destination rule_port
	if [[ $address != - && $port != - ]]; then
		say "$address$TAB$port"
		return 0
	fi
	for rule in "${RULES[@]}"; do
		IFS=$TAB read -r name destination rule_port _ <<<"$rule"
		[[ $name == "$service" ]] || continue
		if [[ $address != - ]]; then
			destination=$address/32
		fi
		[[ $destination == */32 || $destination == */128 ]] || continue
		say "${destination%/*}$TAB${port/#-/$rule_port}"
	done | sort -u
}

check_servers() {
	local instance service name address port forged target target_port interface how i
	local -a labels=() files=()
	local directory
	((${#INSTANCES[@]})) || return 0
	directory=$(mktemp -d)
	for instance in "${INSTANCES[@]}"; do
		IFS=$TAB read -r service _ name _ address port forged _ <<<"$instance"
		while IFS=$TAB read -r target target_port; do
			read -r interface how < <(server_route "$target") || true
			if [[ -z ${interface:-} ]]; then
				problem servers "$service/$name ($target): there is no route to it" "" \
					"ip route add ..."
				continue
			fi
			[[ $forged != forged ]] || check_return "$service" "$name" "$target" "$interface" "$how"
			[[ $target_port != - ]] || continue
			labels+=("$service/$name ($target port $target_port)")
			files+=("$directory/${#labels[@]}")
			knock "$target" "$target_port" >"${files[-1]}" &
		done < <(targets "$service" "$address" "$port")
	done
	wait
	for i in "${!labels[@]}"; do
		if [[ $(<"${files[i]}") == connected ]]; then
			ok servers "${labels[i]} answers"
		else
			problem servers "${labels[i]}: $(<"${files[i]}")" \
				"an instance that does not answer counts as a divergence: clients are denied
				(or, reporting only, it is left out)" \
				"start the server, or correct its address in the config;
				its own packet filter may keep this gateway out, too"
		fi
	done
	rm -rf -- "$directory"
}
