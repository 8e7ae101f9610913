#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# An HTTPS service that is there already: RDDR holds its certificate, and reads what goes through.

load lib

setup() { pages_alike; }

secure() { get --cacert "$LAB/ca.pem" --resolve shop.lab:443:10.0.2.2 https://shop.lab/; }

@test "HTTPS behind RDDR: verified on both sides, what differs is stopped; the key is the daemon's alone" {
	local said
	install -o root -g rddr -m 640 "$LAB/server.key" /etc/rddr/shop.key
	install -m 644 "$LAB/server.pem" "$LAB/ca.pem" /etc/rddr/
	configure <<-END
		  secure:
		    intercept: { address: 10.0.2.2, port: 443, interface: eth-c }
		    instances:
		      - { name: live,    chainer: transparent, forge-addr: true }
		      - { name: twin,    chainer: directed, remote: "10.0.3.2:443", forge-addr: true }
		      - { name: variant, chainer: directed, remote: "10.0.4.2:443", forge-addr: true }
		    diff-class: http
		    tls:
		      lone: { certificates: { chain: /etc/rddr/server.pem, key: /etc/rddr/shop.key } }
		      many: { ca: /etc/rddr/ca.pem }
	END
	begin
	[[ $(secure) == "$PAGE" ]]
	# Each server was spoken to over TLS, by the client's address.
	tail -n 1 "$LAB/s2/access.log" | grep -q '^10.0.1.2 10.0.4.2:443 "GET / '
	page 2 "another page"
	said=$(secure) || true
	[[ $said != *"another page"* && $said != *"$PAGE"* ]]
	[[ $(counter secure denied) == 1 ]]
	pages_alike
	[[ $(secure) == "$PAGE" ]]
	finish
	diff /var/tmp/before <(host_snapshot)
	[[ $(secure) == "$PAGE" ]]
}
