# SPDX-License-Identifier: BSD-2-Clause
# firewall.awk - what a packet filter does to the SYNs of steered services.
#
# Steered packets come in (prerouting, with our mark), are delivered to this host (input), and are never forwarded. This
# program walks the rules of those hooks, in their order, for each service, as far as text says what a rule matches: a
# test that it does not know "may" match.
#
# Input, one stream:
#   service<tab>NAME<tab>DESTINATION<tab>PORT<tab>INTERFACE<tab>CLIENTS    as in `rddr-steer dump`; "-" for any
#   attached<tab>INTERFACE                                                 one line each
#   forged                                     when instances are dialled with the client's address
#   rules<tab>nft                              followed by `nft -nn list ruleset`
#   rules<tab>iptables<tab>ip|ip6              followed by `iptables-save` or `ip6tables-save`
# -v markmask=HEX: the bits of the mark that are ours, without 0x.
#
# Output: LEVEL<tab>CODE<tab>SERVICE<tab>CHAIN<tab>RULE. LEVEL: problem, or warning where the rule only may match. CODE:
# drop, policy, tproxy, nat, notrack, mark, rpfilter, rpfilter-mark; dnat for other addresses that lead to the service
# past RDDR; and for the daemon's own connections, with service "-": output, snat.

BEGIN { FS = "\t" }

# --- addresses -------------------------------------------------------------------------------------------------------

function nibble(c) { return index("0123456789abcdef", tolower(c)) - 1 }
function binary(value, width,   out) {
	for (out = ""; width > 0; width--) {
		out = (value % 2) out
		value = int(value / 2)
	}
	return out
}
# An address as a string of 32 or 128 zeros and ones; empty when it is none.
function bits(address,   part, n, i, j, out, head, tail, gap, text) {
	if (address !~ /:/) {
		if (split(address, part, ".") != 4) return ""
		for (i = 1; i <= 4; i++) {
			if (part[i] !~ /^[0-9]+$/) return ""
			out = out binary(part[i], 8)
		}
		return out
	}
	gap = index(address, "::")
	head = gap ? substr(address, 1, gap - 1) : address
	tail = gap ? substr(address, gap + 2) : ""
	out = groups(head)
	text = groups(tail)
	if (gap) while (length(out) + length(text) < 128) out = out "0"
	return out text
}
function groups(text,   part, n, i, j, out, value) {
	n = split(text, part, ":")
	for (i = 1; i <= n; i++) {
		value = 0
		for (j = 1; j <= length(part[i]); j++) value = value * 16 + nibble(substr(part[i], j, 1))
		out = out binary(value, 16)
	}
	return out
}
# How prefix a stands to prefix b: "yes" when it holds all of it, "may" when it holds some of it or cannot be read,
# "no".
function holds(a, b,   pa, pb, ba, bb, la, lb, least) {
	if (a == "" || b == "" || b == "-" || a ~ /[@$-]/) return "may"
	split(a, pa, "/")
	split(b, pb, "/")
	ba = bits(pa[1])
	bb = bits(pb[1])
	if (ba == "" || bb == "") return "may"
	if (length(ba) != length(bb)) return "no"
	la = pa[2] == "" ? length(ba) : pa[2] + 0
	lb = pb[2] == "" ? length(bb) : pb[2] + 0
	least = la < lb ? la : lb
	if (substr(ba, 1, least) != substr(bb, 1, least)) return "no"
	return la <= lb ? "yes" : "may"
}
# The same for a port or a range ("80", "80-90", "80:90") and a service's port ("-": all).
function port_holds(range, port,   part) {
	if (range ~ /^[0-9]+$/) return port == "-" ? "may" : (range + 0 == port + 0 ? "yes" : "no")
	if (range ~ /^[0-9]*[-:][0-9]*$/) {
		split(range, part, /[-:]/)
		if (port == "-") return "may"
		return port + 0 >= part[1] + 0 && (part[2] == "" || port + 0 <= part[2] + 0) ? "yes" : "no"
	}
	return "may"
}
function interface_holds(pattern, interface,   name, some, others) {
	gsub(/"/, "", pattern)
	if (interface == "-") {
		for (name in attached) {
			if (interface_holds(pattern, name) == "yes") some = 1
			else others = 1
		}
		return some ? (others ? "may" : "yes") : (others ? "no" : "may")
	}
	if (pattern ~ /[*+]$/) return index(interface, substr(pattern, 1, length(pattern) - 1)) == 1 ? "yes" : "no"
	return pattern == interface ? "yes" : "no"
}

# A test's value: one, or several in braces or parted by commas. KIND says what it is compared with.
function one_holds(kind, value, s) {
	if (kind == "daddr") return holds(value, destination[s])
	if (kind == "saddr") return holds(value, clients[s])
	if (kind == "dport") return port_holds(value, port[s])
	if (kind == "iif") return interface_holds(value, interface[s])
	if (kind == "proto") return value == "tcp" || value == "6" || value == "all" ? "yes" : "no"
	if (kind == "state") return tolower(value) == "new" ? "yes" : "no"
	return "may"
}
function test(kind, values, negated, s,   list, n, i, r, best) {
	gsub(/[{}]/, " ", values)
	n = split(values, list, /[ ,]+/)
	best = "no"
	for (i = 1; i <= n; i++) {
		if (list[i] == "") continue
		r = one_holds(kind, list[i], s)
		if (r == "yes" || (r == "may" && best == "no")) best = r
	}
	if (negated) best = best == "yes" ? "no" : best == "no" ? "yes" : "may"
	and(best)
}
# The conclusion of the tests of one rule so far, in `match_`.
function and(r) {
	if (r == "no" || match_ == "no") match_ = "no"
	else if (r == "may") match_ = "may"
}

# --- rules -----------------------------------------------------------------------------------------------------------

# Reads a rule for service s: sets match_, action ("", accept, drop, jump, return, or a code) and target.
function read_nft(text, s,   t, n, i, value, negated, word) {
	match_ = "yes"; action = ""; target = ""
	sub(/ comment ".*"/, "", text)
	sub(/ # handle [0-9]+$/, "", text)
	if (text ~ /fib saddr/) {
		action = text ~ /\. mark/ ? "rpfilter-mark" : "rpfilter"
		if (text !~ /(drop|reject)/) action = ""
		match_ = "may"
		return
	}
	n = split(text, t, " ")
	for (i = 1; i <= n; i++) {
		word = t[i]
		if (word ~ /^(ip6?|tcp|th|meta|ct|udp|icmp|icmpv6|sctp)$/) {
			if ((word == "ip") != (destination[s] !~ /:/) && (word == "ip" || word == "ip6")) and("no")
			if (word == "udp" || word ~ /^icmp/ || word == "sctp") and("no")
			if (word == "ct" || word == "meta") {
				if (t[i + 2] == "set") {
					if (word == "meta" && t[i + 1] == "mark" && nft_mark_hits(text)) action = "mark"
					return
				}
			}
			word = word " " t[++i]
		}
		if (word == "counter") { if (t[i + 1] == "packets") i += 4; continue }
		if (word == "limit" || word == "log" || word == "quota") { if (word != "log") and("may"); continue }
		if (word == "accept" || word == "drop" || word == "return" || word == "notrack") { action = word; return }
		if (word == "reject") { action = "drop"; return }
		if (word == "jump" || word == "goto") { action = "jump"; target = t[i + 1]; return }
		if (word == "tproxy") { action = "tproxy"; return }
		if (word == "redirect" || word == "dnat") { action = "nat"; return }
		if (word == "xt") {
			value = t[i + 1] == "target" ? t[i + 2] : ""
			gsub(/"/, "", value)
			if (value == "TPROXY") { action = "tproxy"; return }
			if (value == "REDIRECT" || value == "DNAT") { action = "nat"; return }
			if (value == "CONNMARK") { action = "mark"; and("may"); return }
			and("may"); i += 2; continue
		}
		negated = t[i + 1] == "!="
		if (negated || t[i + 1] == "==") i++
		value = t[++i]
		if (value ~ /^\{/) while (i < n && value !~ /\}$/) value = value " " t[++i]
		if (t[i + 1] == "&" || value == "vmap" || value == "&" || value == "and") { and("may"); continue }
		if (word == "ip daddr" || word == "ip6 daddr") test("daddr", value, negated, s)
		else if (word == "ip saddr" || word == "ip6 saddr") test("saddr", value, negated, s)
		else if (word == "tcp dport" || word == "th dport") test("dport", value, negated, s)
		else if (word ~ /^(meta )?iif(name)?$/) test("iif", value, negated, s)
		else if (word ~ /^(meta l4proto|ip protocol|ip6 nexthdr)$/) test("proto", value, negated, s)
		else if (word == "ct state") test("state", value, negated, s)
		else if (word == "meta nfproto") and(value == (destination[s] ~ /:/ ? "ipv6" : "ipv4") ? "yes" : "no")
		else and("may")
	}
}

function read_iptables(text, s,   t, n, i, value, negated, word) {
	match_ = "yes"; action = ""; target = ""
	gsub(/--comment ("[^"]*"|[^ ]+)/, "", text)
	n = split(text, t, " ")
	for (i = 3; i <= n; i++) { # -A CHAIN ...
		word = t[i]
		negated = word == "!"
		if (negated) word = t[++i]
		value = t[i + 1]
		if (word == "-m" && value == "rpfilter") {
			and("may")
			if (text ~ /-j (DROP|REJECT)/) action = text ~ /--validmark/ ? "rpfilter-mark" : "rpfilter"
			return
		}
		if (word == "-m") {
			i++
			# Those whose tests are read below, or that say nothing by themselves; all others may match.
			if (value !~ /^(tcp|udp|multiport|comment|state|conntrack|addrtype|socket)$/) and("may")
		}
		else if (word == "-d") { i++; test("daddr", value, negated, s) }
		else if (word == "-s") { i++; test("saddr", value, negated, s) }
		else if (word == "-p") { i++; test("proto", value, negated, s) }
		else if (word == "-i") { i++; test("iif", value, negated, s) }
		else if (word == "--dport" || word == "--dports") { i++; test("dport", value, negated, s) }
		else if (word == "--ctstate" || word == "--state") { i++; test("state", value, negated, s) }
		else if (word == "--sport" || word == "--sports") { i++; and("may") }
		else if (word == "-j" || word == "-g") {
			if (value == "ACCEPT") action = "accept"
			else if (value == "DROP" || value == "REJECT") action = "drop"
			else if (value == "RETURN") action = "return"
			else if (value == "TPROXY") action = "tproxy"
			else if (value == "REDIRECT" || value == "DNAT") action = "nat"
			else if (value == "NOTRACK" || (value == "CT" && text ~ /--notrack/)) action = "notrack"
			else if (value == "MARK") action = mark_hits(text) ? "mark" : ""
			else if (value == "CONNMARK") { action = text ~ /--restore-mark/ ? "mark" : ""; and("may") }
			else if (value ~ /^(LOG|NFLOG|TOS|DSCP|TCPMSS|TRACE|CHECKSUM|SET|NFQUEUE|CT|CLASSIFY)$/) action = ""
			else { action = "jump"; target = value }
			return
		}
	}
}
# Whether -j MARK changes bits of ours: --set-xmark VALUE/MASK clears and flips the bits of MASK.
function mark_hits(text,   part) {
	if (!match(text, /--set-x?mark [^ ]+/)) return 1
	split(substr(text, RSTART, RLENGTH), part, /[ \/]/)
	return common(part[3] == "" ? "ffffffff" : part[3], markmask, 0)
}
# The same for "meta mark set mark and MASK xor BITS" (or "&", "^", "|"); a mark set from something else loses all
# of ours.
function nft_mark_hits(text,   part, i, n) {
	sub(/.*meta mark set /, "", text)
	if (text !~ /^(meta )?mark /) return 1
	n = split(text, part, " ")
	for (i = 1; i < n; i++) {
		if ((part[i] == "and" || part[i] == "&") && common(part[i + 1], markmask, 1)) return 1
		if (part[i] ~ /^(or|xor|\||\^)$/ && common(part[i + 1], markmask, 0)) return 1
	}
	return 0
}
# Whether two words in hex have a bit in common; the first one inverted when asked.
function common(a, b, invert,   i, n) {
	a = word32(a)
	b = word32(b)
	for (i = 1; i <= 8; i++) {
		n = nibble(substr(a, i, 1))
		if (both(invert ? 15 - n : n, nibble(substr(b, i, 1)))) return 1
	}
	return 0
}
function word32(text) {
	sub(/^0x/, "", text)
	while (length(text) < 8) text = "0" text
	return text
}
function both(a, b,   i) {
	for (i = 0; i < 4; i++) {
		if (a % 2 && b % 2) return 1
		a = int(a / 2)
		b = int(b / 2)
	}
	return 0
}

function report(level, code, s, chain, rule,   line) {
	line = level "\t" code "\t" name[s] "\t" label[chain] "\t" rule
	if (!reported[line]++) print line
}

# Walks a chain for service s. sure: nothing before has only perhaps decided. Returns accept, drop, or "" when it
# runs off the end.
function walk(chain, s, sure, depth,   i, r, m, a, level, verdict, goal) {
	if (depth > 16) return ""
	for (i = 1; i <= rules[chain]; i++) {
		if (syntax[chain] == "nft") read_nft(rule[chain, i], s)
		else read_iptables(rule[chain, i], s)
		if (match_ == "no" || action == "") continue
		if (action == "mark" && at == "input") continue # routed already
		m = match_; a = action
		level = m == "yes" && sure ? "problem" : "warning"
		if (a == "jump") {
			goal = home[chain] SUBSEP target
			unsure = 0
			verdict = walk(goal, s, sure && m == "yes", depth + 1)
			if (verdict != "" && m == "yes") return verdict
			if (verdict != "" || unsure) sure = 0
			continue
		}
		if (a == "return" || a == "accept") {
			if (m == "yes" && a == "accept") return a
			if (m == "yes") break
			sure = 0
			continue
		}
		report(a == "rpfilter" || a == "notrack" ? "warning" : level, a, s, chain, rule[chain, i])
		if (a == "drop") {
			if (m == "yes") return "drop"
			sure = 0
		}
		# To nat and tproxy the packet goes another way from here on.
		if ((a == "tproxy" || a == "nat") && m == "yes") return "accept"
	}
	unsure = !sure
	return ""
}

# --- reading ---------------------------------------------------------------------------------------------------------

$1 == "service" {
	name[++services] = $2; destination[services] = $3; port[services] = $4
	interface[services] = $5; clients[services] = $6
	next
}
$1 == "attached" { attached[$2] = 1; next }
$1 == "forged" && mode == "" { forged = 1; next }
$1 == "rules" { mode = $2; family = $3; next }

function add_chain(key, title, table, kind) {
	label[key] = title; home[key] = table; syntax[key] = mode; type[key] = kind
	order[++chains] = key
}

mode == "nft" {
	line = $0
	gsub(/^[ \t]+|[ \t]+$/, "", line)
	if (line ~ /^table /) { split(line, w, " "); table = w[2] " " w[3]; tablefamily = w[2] }
	else if (line ~ /^chain /) {
		split(line, w, " ")
		chain = table SUBSEP w[2]
		add_chain(chain, table " " w[2], table, tablefamily)
		inchain = 1
	}
	else if (line ~ /^(set|map|flowtable|ct|counter|quota|limit|secmark|synproxy) .*\{$/) skipping = 1
	else if (line == "}") { if (skipping) skipping = 0; else inchain = 0 }
	else if (inchain && line ~ /^type .* hook /) {
		split(line, w, " ")
		for (i = 1; w[i] != "hook" && i < 9; i++);
		hook[chain] = w[i + 1]
		policy[chain] = line ~ /policy drop/ ? "drop" : "accept"
	}
	else if (inchain && !skipping && line != "") rule[chain, ++rules[chain]] = line
	next
}
mode == "iptables" {
	if ($0 ~ /^\*/) table = (family == "ip6" ? "ip6tables " : "iptables ") substr($0, 2)
	else if ($0 ~ /^:/) {
		split(substr($0, 2), w, " ")
		chain = table SUBSEP w[1]
		add_chain(chain, table " " w[1], table, family)
		if (w[1] ~ /^(PREROUTING|INPUT|OUTPUT|POSTROUTING)$/) {
			hook[chain] = tolower(w[1])
			policy[chain] = w[2] == "DROP" ? "drop" : "accept"
		}
	}
	else if ($0 ~ /^-A /) {
		split($0, w, " ")
		chain = table SUBSEP w[2]
		rule[chain, ++rules[chain]] = $0
	}
	next
}

function applies(chain, s) {
	if (type[chain] == "ip") return destination[s] !~ /:/
	if (type[chain] == "ip6") return destination[s] ~ /:/
	return type[chain] == "inet" || type[chain] == "netdev"
}

# Of the daemon's connections only this is said: whether all of them are held up, or their forged source is
# rewritten.
function outgoing(chain,   i) {
	if (hook[chain] == "output" && policy[chain] == "drop") report("warning", "output", 0, chain, "policy drop")
	if (hook[chain] != "postrouting" || !forged) return
	for (i = 1; i <= rules[chain]; i++)
		if (rule[chain, i] ~ /masquerade|snat|MASQUERADE|SNAT/) report("warning", "snat", 0, chain, rule[chain, i])
}

# Another address whose connections this host sends on to the service: it is decided on behind the tc filter, so
# they are never steered.
function bypasses(chain, s,   i, to, part, n) {
	for (i = 1; i <= rules[chain]; i++) {
		if (!match(rule[chain, i], /(dnat( ip6?)? to|--to-destination) [^ ]+/)) continue
		n = split(substr(rule[chain, i], RSTART, RLENGTH), part, " ")
		to = part[n]
		part[2] = ""
		if (to ~ /^\[/) { sub(/^\[/, "", to); split(to, part, /\]:?/) }
		else if (to ~ /^[0-9.]+:/) split(to, part, ":")
		else part[1] = to
		if (holds(destination[s], part[1]) != "yes") continue
		if (part[2] == "" || port[s] == "-" || part[2] ~ /-/ || part[2] == port[s])
			report("warning", "dnat", s, chain, rule[chain, i])
	}
}

END {
	name[0] = "-"
	for (c = 1; c <= chains; c++) outgoing(order[c])
	for (s = 1; s <= services; s++)
		for (c = 1; c <= chains; c++) {
			chain = order[c]
			if (hook[chain] !~ /^(prerouting|input|ingress)$/ || !applies(chain, s)) continue
			at = hook[chain]
			unsure = 0
			if (at == "prerouting") bypasses(chain, s)
			if (walk(chain, s, 1, 0) == "" && policy[chain] == "drop")
				report(unsure ? "warning" : "problem", "policy", s, chain, "policy drop")
		}
}
