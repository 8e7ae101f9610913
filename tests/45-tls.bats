#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# shellcheck disable=SC2001,SC2034 # sed indents lines, which an expansion cannot; TLS_WEB is the library's
# TLS on either side of a real gateway, with curl and openssl as clients and three nginx as servers: what is agreed on, what is refused and why,
# and certificates that change under load.

bats_require_minimum_version 1.5.0
load lib
load lib-tls

setup() {
	topology_up
	pki
	TLS_WEB=""
}

teardown() { topology_down; }

begin() {
	attach
	start_rddrd "$RDDR_TMP/rddr.yaml"
	wait_for "steering" 20 steered
}

steered() { [[ $(ctl --json status | jq -r .steering.state) == attached ]]; }
no_sessions() { [[ $(ctl --json status | jq .sessions) == 0 ]]; }
at_least() { (($(counter shop "$1") >= $2)); }

# tls_config LONE MANY [SERVICE LINES]: the service shop at 10.0.2.2:443; each of the first two is what stands in tls, or - for none.
tls_config() {
	local lone=$1 many=$2
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		workers: 2
		evidence: { file: $RDDR_TMP/evidence.jsonl }
		services:
		  shop:
		    intercept: { address: 10.0.2.2, port: 443, interface: eth-c }
		    diff-class: http
		    tls:
		      $([[ $lone == - ]] || echo "lone: { certificates: { chain: $PKI/shop.pem, key: $PKI/shop.key }${lone:+, $lone} }")
		      $([[ $many == - ]] || echo "many: { ${many:-ca: $PKI/ca.pem} }")
		    instances:
		      - { name: live,    chainer: transparent, forge-addr: true }
		      - { name: twin,    chainer: directed, remote: "10.0.3.2:443", forge-addr: true }
		      - { name: variant, chainer: directed, remote: "10.0.4.2:443", forge-addr: true }
		    deadlines: { connect: 10s, skew: 10s, idle: 60s }
		$(sed 's/^/    /' <<<"${3:-}")
	END
}

webs() {
	for i in 0 1 2; do
		start_tls_web "$i"
	done
}

@test "TLS 1.2 and 1.3 on both sides: pages, big bodies both ways, and a page that differs is denied over TLS" {
	webs
	tls_config "" ""
	begin
	[[ $(tls_get shop.test /) == "the page" ]]
	[[ $(tls_get shop.test --tls-max 1.2 /) == "the page" ]]
	# What each instance is spoken to with: its certificate names its address, so no SNI is sent.
	[[ $(tls_get shop.test /tls) == "TLSv1.3 NONE  http/1.1" ]]
	head -c 5000000 /dev/urandom >"$RDDR_TMP/file"
	[[ $(tls_get shop.test -T "$RDDR_TMP/file" -o "$RDDR_TMP/a" -w '%{http_code}' /up/file) == 201 ]]
	tls_get shop.test -o "$RDDR_TMP/b" /up/file
	cmp "$RDDR_TMP/file" "$RDDR_TMP/b"
	for i in 0 1 2; do
		cmp "$RDDR_TMP/file" "$RDDR_TMP/s$i/up/file"
	done
	[[ $(counter shop denied) == 0 && $(counter shop tls_failed) == 0 ]]

	set_page 2 "another page"
	run tls_get shop.test -w '%{http_code}' /
	[[ $status == 0 && $output == *"RDDR"*500 && $output != *page* ]]
	[[ $(counter shop denied_divergence) == 1 ]]
	wait_for "the sessions' end" 20 no_sessions
}

@test "either side alone: clients in clear, instances in clear, one instance in clear" {
	webs
	# Instances in clear answer at port 443 without TLS: the gateway's address is the same.
	tls_config - ""
	begin
	[[ $(in_ns c curl -sS --max-time 20 http://10.0.2.2:443/) == "the page" ]]
	[[ $(counter shop tls_handshakes) == 3 ]]
	stop rddrd
	tls_config "" "" "$(printf 'limits: { buffer: 512KiB }')"
	sed -i 's|remote: "10.0.4.2:443"|remote: "10.0.4.2:80", tls: none|' "$RDDR_TMP/rddr.yaml"
	start_rddrd "$RDDR_TMP/rddr.yaml"
	wait_for "steering" 20 steered
	[[ $(tls_get shop.test /) == "the page" ]]
	[[ $(counter shop tls_handshakes) == 3 ]]
	stop rddrd
	tls_config "" -
	sed -i 's|chainer: transparent|chainer: transparent, forced-port: 80|; s|.2:443"|.2:80"|' "$RDDR_TMP/rddr.yaml"
	start_rddrd "$RDDR_TMP/rddr.yaml"
	wait_for "steering" 20 steered
	[[ $(tls_get shop.test /) == "the page" ]]
	[[ $(counter shop tls_handshakes) == 1 && $(counter shop denied) == 0 ]]
}

# An instance whose certificate is not good enough counts as missing; log and counters say why.
refuses() {
	local reason=$1 counter=$2 before
	before=$(counter shop "$counter")
	run tls_get shop.test -w '%{http_code}' /
	[[ $status == 0 && $output == *500 && $output != *"the page"* ]]
	[[ $(counter shop "$counter") == "$((before + 1))" ]]
	log_of rddrd | grep -q "reason=missing.*instance variant at 10.0.4.2:443: TLS $reason "
}

@test "an instance's certificate: expired, of another name, of an unknown CA, and what verify makes of it" {
	make_expired expired ca "IP:10.0.4.2"
	make_cert wrong ca "DNS:elsewhere.test"
	make_cert stranger other "IP:10.0.4.2"
	start_tls_web 0
	start_tls_web 1
	start_tls_web 2 expired
	tls_config "" ""
	begin
	refuses expired tls_verify_expired
	stop_nginx 2
	start_tls_web 2 wrong
	refuses wrong-name tls_verify_wrong_name
	stop_nginx 2
	start_tls_web 2 stranger
	refuses unknown-ca tls_verify_unknown_ca
	[[ $(counter shop denied_missing) == 3 && $(counter shop tls_failed) == 3 ]]
	run ! grep -q "not verified" "$RDDR_TMP/rddrd.log"

	# The name may be another one, the name alone may be left out, or everything.
	stop_nginx 2
	start_tls_web 2 wrong
	cp "$RDDR_TMP/rddr.yaml" "$RDDR_TMP/before.yaml"
	sed -i 's|remote: "10.0.4.2:443"|&, tls: { server-name: elsewhere.test }|' "$RDDR_TMP/rddr.yaml"
	ctl reload
	[[ $(tls_get shop.test /) == "the page" ]]
	sed 's|remote: "10.0.4.2:443"|&, tls: { verify: chain, sni: "" }|' "$RDDR_TMP/before.yaml" >"$RDDR_TMP/rddr.yaml"
	ctl reload
	[[ $(tls_get shop.test /) == "the page" ]]
	stop_nginx 2
	start_tls_web 2 stranger
	tls_config "" "verify: none"
	ctl reload
	[[ $(tls_get shop.test /) == "the page" ]]
	log_of rddrd | grep -q "the certificates of the servers of service shop are not verified"
	[[ $(counter shop denied) == 3 ]]
}

@test "a server's name that the instance has goes out as SNI, and own certificates to who asks for them" {
	TLS_WEB="ssl_client_certificate $PKI/ca.pem; ssl_verify_client on;"
	webs
	tls_config "" "ca: $PKI/ca.pem, server-name: inst.test, certificate: { chain: $PKI/user.pem, key: $PKI/user.key }"
	begin
	[[ $(tls_get shop.test /tls) == "TLSv1.3 SUCCESS inst.test http/1.1" ]]
	# A stranger's certificate is the servers' to refuse.
	make_cert stranger other DNS:stranger.test
	tls_config "" "ca: $PKI/ca.pem, server-name: inst.test, certificate: { chain: $PKI/stranger.pem, key: $PKI/stranger.key }"
	ctl reload
	run tls_get shop.test -o "$RDDR_TMP/a" -w '%{http_code}' /
	[[ $output == 400 ]]
}

@test "certificates of clients: none, good, expired, of an unknown CA; demanded and asked for" {
	make_expired old ca DNS:old.test
	make_cert stranger other DNS:stranger.test
	webs
	tls_config "clients: require, ca: $PKI/ca.pem" ""
	begin
	[[ $(tls_get shop.test --cert "$PKI/user.pem" --key "$PKI/user.key" /) == "the page" ]]
	[[ $(tls_get shop.test --tls-max 1.2 --cert "$PKI/user.pem" --key "$PKI/user.key" /) == "the page" ]]
	local max
	for max in 1.2 1.3; do
		run ! tls_get shop.test --tls-max $max /
		run ! tls_get shop.test --tls-max $max --cert "$PKI/old.pem" --key "$PKI/old.key" /
		run ! tls_get shop.test --tls-max $max --cert "$PKI/stranger.pem" --key "$PKI/stranger.key" /
	done
	[[ $(counter shop tls_verify_missing) == 2 && $(counter shop tls_verify_expired) == 2 && $(counter shop tls_verify_unknown_ca) == 2 ]]
	log_of rddrd | grep -q 'handshake failed service=shop .*client=10.0.1.2:.*TLS no-certificate'
	log_of rddrd | grep -q 'handshake failed service=shop .*client=10.0.1.2:.*TLS expired'
	for i in 0 1 2; do
		[[ $(access_log "$i" | wc -l) == 2 ]]
	done
	s_client | grep -q "CN = ca"

	tls_config "clients: request, ca: $PKI/ca.pem" ""
	ctl reload
	[[ $(tls_get shop.test /) == "the page" ]]
	[[ $(tls_get shop.test --cert "$PKI/user.pem" --key "$PKI/user.key" /) == "the page" ]]
	run ! tls_get shop.test --cert "$PKI/stranger.pem" --key "$PKI/stranger.key" /
}

@test "what is refused: old versions, weak ciphers, renegotiation, other protocols; what is garbage; what stalls" {
	webs
	tls_config "" "" "$(printf 'deadlines: { connect: 2s, skew: 10s, idle: 60s }')"
	sed -i '0,/deadlines: { connect: 10s/{/deadlines: { connect: 10s/d}' "$RDDR_TMP/rddr.yaml"
	begin
	local refused
	for refused in "-tls1 -cipher ALL:@SECLEVEL=0" "-tls1_1 -cipher ALL:@SECLEVEL=0" "-tls1_2 -cipher AES128-SHA" "-tls1_2 -cipher AES256-GCM-SHA384" \
		"-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA" "-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256" "-tls1_2 -cipher aNULL:@SECLEVEL=0" \
		"-tls1_2 -cipher eNULL:@SECLEVEL=0" "-alpn h2" "-alpn spdy/3"; do
		# shellcheck disable=SC2086 # words
		run s_client $refused
		[[ $output == *"alert"* && $output != *"Cipher is ECDHE"* && $output != *"Cipher is TLS_"* ]] || { echo "$refused: $output"; false; }
	done
	[[ $(counter shop tls_failed_version) == 2 && $(counter shop tls_failed_alpn) == 2 && $(counter shop tls_failed_cipher) == 6 ]]
	run s_client -tls1_2
	[[ $output == *"Compression: NONE"* && $output == *"Cipher is ECDHE-ECDSA-AES256-GCM-SHA384"* ]]
	run in_ns c timeout 20 bash -c "{ printf 'R\n'; sleep 2; } | openssl s_client -connect 10.0.2.2:443 -tls1_2"
	[[ $output == *"no renegotiation"* ]]

	printf 'GET / HTTP/1.0\r\n\r\n' | in_ns c timeout 20 socat -t 15 - TCP:10.0.2.2:443,shut-none >"$RDDR_TMP/a" || true
	head -c 300 /dev/urandom | in_ns c timeout 20 socat -t 15 - TCP:10.0.2.2:443,shut-none >"$RDDR_TMP/a" || true
	# A record's head that promises more than ever comes, and silence.
	printf '\x16\x03\x01\x02\x00\x01' | in_ns c timeout 20 socat -t 15 - TCP:10.0.2.2:443,shut-none >"$RDDR_TMP/a" || true
	in_ns c timeout 20 socat -u TCP:10.0.2.2:443 - >"$RDDR_TMP/a" || true
	[[ $(counter shop tls_failed_timed_out) == 2 ]]
	at_least tls_failed_garbage 1
	printf '\x16\x03\x01\x02\x00\x01' | in_ns c timeout 20 socat -t 15 - TCP:10.0.2.2:443 >"$RDDR_TMP/a" || true
	at_least tls_failed_closed 1
	for i in 0 1 2; do
		[[ -z $(access_log "$i") ]]
	done
	wait_for "the sessions' end" 20 no_sessions
	[[ $(tls_get shop.test /) == "the page" ]]
}

@test "an instance that does not finish its handshake is missing after deadlines.connect" {
	start_tls_web 0
	start_tls_web 1
	spawn mute s2 socat TCP-LISTEN:443,fork,reuseaddr,bind=10.0.4.2 SYSTEM:'sleep 60'
	wait_tcp s2 10.0.4.2 443
	tls_config "" "" "$(printf 'deadlines: { connect: 2s, skew: 10s, idle: 60s }')"
	sed -i '0,/deadlines: { connect: 10s/{/deadlines: { connect: 10s/d}' "$RDDR_TMP/rddr.yaml"
	begin
	run tls_get shop.test -o "$RDDR_TMP/a" -w '%{http_code}' /
	[[ $output == 500 ]]
	[[ $(counter shop tls_failed_timed_out) == 1 && $(counter shop denied_missing) == 1 ]]
	log_of rddrd | grep -q "instance variant at 10.0.4.2:443: TLS timed-out"
	stop mute
	# One that speaks something else.
	spawn loud s2 socat TCP-LISTEN:443,fork,reuseaddr,bind=10.0.4.2 SYSTEM:'echo 220 hello; sleep 5'
	wait_tcp s2 10.0.4.2 443
	run tls_get shop.test -o "$RDDR_TMP/a" -w '%{http_code}' /
	[[ $output == 500 && $(counter shop tls_failed_garbage) == 1 ]]
}

@test "several certificates: by name, by kind of key, by wildcard, and the first for everything else" {
	webs
	KEY=rsa:2048 make_cert shop-rsa ca DNS:shop.test
	make_cert blog ca "DNS:blog.test,DNS:*.blog.test"
	KEY=rsa:2048 make_cert first ca DNS:first.test
	tls_config "" ""
	sed -i "s|certificates: { chain: [^}]*}|certificates: [ { chain: $PKI/first.pem, key: $PKI/first.key }, { chain: $PKI/blog.pem, key: $PKI/blog.key }, { chain: $PKI/shop.pem, key: $PKI/shop.key }, { chain: $PKI/shop-rsa.pem, key: $PKI/shop-rsa.key } ]|" "$RDDR_TMP/rddr.yaml"
	begin
	s_client -servername shop.test | grep -q "subject=CN = shop$"
	s_client -servername shop.test -tls1_2 -cipher ECDHE+aRSA | grep -q "subject=CN = shop-rsa$"
	s_client -servername blog.test | grep -q "subject=CN = blog$"
	s_client -servername a.blog.test | grep -q "subject=CN = blog$"
	s_client -servername a.b.blog.test | grep -q "subject=CN = first$"
	s_client -noservername | grep -q "subject=CN = first$"
	[[ $(tls_get shop.test /) == "the page" ]]
	[[ $(tls_get a.blog.test /) == "the page" ]]
	run ! tls_get nowhere.test /
	# A name with no key of the kind that the client takes is not another name's.
	run s_client -servername blog.test -tls1_2 -cipher ECDHE+aRSA
	[[ $output != *"subject="* && $(counter shop tls_failed_cipher) == 1 ]]
}

reused() { s_client "$1" -sess_in "$RDDR_TMP/sess" | grep -q "^Reused, "; }

@test "sessions are resumed: by tickets that every worker knows, over a reload too, and with the instances" {
	local i
	webs
	tls_config "" ""
	begin
	for version in -tls1_2 -tls1_3; do
		s_client $version -sess_out "$RDDR_TMP/sess" | grep -q "^New, "
		[[ $version == -tls1_2 ]] || in_ns c timeout 20 bash -c "{ printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'; sleep 1; } | openssl s_client -connect 10.0.2.2:443 -tls1_3 -sess_out $RDDR_TMP/sess -quiet" || true
		for i in 1 2 3 4 5 6; do
			reused "$version"
		done
	done
	ctl reload
	reused -tls1_3
	# The demand for a certificate is not walked past with a ticket from before it.
	tls_config "clients: require, ca: $PKI/ca.pem" ""
	ctl reload
	run ! reused -tls1_2
	tls_config "resume: false" ""
	ctl reload
	s_client -tls1_2 -sess_out "$RDDR_TMP/sess" | grep -q "^New, "
	run ! reused -tls1_2
	# The instances: two workers, so that the second connection may still be a full handshake, but not the fourth.
	for i in 1 2 3 4; do
		run tls_get shop.test /resumed
	done
	[[ $output == r ]]
	[[ $(counter shop denied) == 0 ]]
}

ocsp_response() { # FILE STATUS
	printf '%s\t%s\t%s\t%s\tunknown\t/CN=shop\n' "$2" 300101000000Z "$([[ $2 == R ]] && echo 250101000000Z)" \
		"$(openssl x509 -in "$PKI/shop.pem" -noout -serial | cut -d= -f2)" >"$RDDR_TMP/index"
	openssl ocsp -index "$RDDR_TMP/index" -rsigner "$PKI/ca.pem" -rkey "$PKI/ca.key" -CA "$PKI/ca.pem" -issuer "$PKI/ca.pem" -cert "$PKI/shop.pem" \
		-ndays 7 -respout "$1" >/dev/null 2>&1
}

@test "an OCSP response is stapled from a file; one that is not about the certificate, or not good, is refused" {
	webs
	ocsp_response "$PKI/shop.ocsp" V
	tls_config "" ""
	sed -i "s|key: $PKI/shop.key|&, ocsp: $PKI/shop.ocsp|" "$RDDR_TMP/rddr.yaml"
	begin
	s_client -status | grep -q "OCSP Response Status: successful"
	s_client -status -tls1_2 | grep -q "Cert Status: good"
	cat "$PKI/ca.pem" >>"$PKI/shop.pem" # curl wants to see the issuer
	ctl reload
	[[ $(tls_get shop.test --cert-status /) == "the page" ]]
	ocsp_response "$PKI/shop.ocsp" R
	run ! ctl reload
	log_of rddrd | grep -q "certificates\[0\].ocsp: .*it does not say that the certificate is good"
	cp "$PKI/shop.pem" "$PKI/shop.ocsp"
	run ! ctl reload
	log_of rddrd | grep -q "no OCSP response in DER"
	s_client -status | grep -q "Cert Status: good"
}

# Requests without end until the file stop is there; the last line says how many, and how many failed.
hammer() {
	in_ns c bash -c "ok=0 bad=0; while [[ ! -e $RDDR_TMP/stop ]]; do
		if [[ \$(curl -sS --max-time 20 --cacert $PKI/ca.pem --resolve shop.test:443:10.0.2.2 https://shop.test/ https://shop.test/ https://shop.test/) == \$'the page\nthe page\nthe page' ]]; then
			((ok++)); else ((bad++)); fi; done; echo \$ok \$bad >$RDDR_TMP/hammer-$1"
}

@test "certificates change under load without a failed request; a bad file changes nothing" {
	local i old new pids=()
	webs
	tls_config "" ""
	begin
	for i in 1 2 3; do
		hammer "$i" 3>&- &
		pids+=($!)
	done
	old=$(s_client | openssl x509 -noout -serial)
	for i in 1 2 3 4 5 6; do
		make_cert shop ca DNS:shop.test
		ctl reload
		new=$(s_client | openssl x509 -noout -serial)
		[[ $new != "$old" && $new == "$(openssl x509 -in "$PKI/shop.pem" -noout -serial)" ]]
		old=$new
	done
	# A key that is not the certificate's, and a chain that is none.
	cp "$PKI/user.key" "$PKI/shop.key"
	run ! ctl reload
	log_of rddrd | grep -q "services.shop.tls.lone.certificates\[0\].key: .*shop.key: the private key is not the certificate's"
	echo nothing >"$PKI/shop.pem"
	run ! ctl reload
	[[ $(s_client | openssl x509 -noout -serial) == "$old" ]]
	touch "$RDDR_TMP/stop"
	wait "${pids[@]}"
	for i in 1 2 3; do
		read -r good bad <"$RDDR_TMP/hammer-$i"
		((good > 0 && bad == 0))
	done
	[[ $(counter shop denied) == 0 ]]
}

# Somebody else's private key, which only CAP_DAC_READ_SEARCH reads: that is dropped once the daemon has begun.
@test "a key that may not be read any more at a reload goes on, with its certificate or a new one of the same key" {
	local old
	webs
	tls_config "" ""
	chown nobody "$PKI/shop.key"
	chmod 600 "$PKI/shop.key"
	begin
	log_of rddrd | grep -q "shop.key cannot be read without privileges"
	old=$(s_client | openssl x509 -noout -serial)
	openssl x509 -req -in "$PKI/shop.csr" -CA "$PKI/ca.pem" -CAkey "$PKI/ca.key" -copy_extensions copy -days 20 -out "$PKI/shop.pem" 2>/dev/null
	ctl reload
	[[ $(s_client | openssl x509 -noout -serial) != "$old" ]]
	[[ $(tls_get shop.test /) == "the page" ]]
	log_of rddrd | grep -q "shop.key cannot be read any more; the one that was read before goes on"
	make_cert shop ca DNS:shop.test
	chown nobody "$PKI/shop.key"
	chmod 600 "$PKI/shop.key"
	run ! ctl reload
	log_of rddrd | grep -q "shop.key: Permission denied"
	[[ $(tls_get shop.test /) == "the page" ]]
}

@test "an original file with protocol: ssl: certs/ beside it, instances not verified, and a warning that says so" {
	webs
	make_cert stranger other DNS:elsewhere.test
	stop_nginx 1
	start_tls_web 1 stranger
	mkdir -p "$RDDR_TMP/certs"
	cp "$PKI/shop.pem" "$RDDR_TMP/certs/clientcert.pem"
	cp "$PKI/shop.key" "$RDDR_TMP/certs/clientkey.pem"
	cat >"$RDDR_TMP/rddr.yaml" <<-END
		addrlist: [ "10.0.2.2:443", "10.0.3.2:443", "10.0.4.2:443" ]
		filter: false
		incoming-proxy: { host: 10.0.1.1, port: 8443, protocol: ssl, diff-class: rddr_diff_builtins.RddrHttpDiff, enforcing: true }
	END
	cd "$RDDR_TMP"
	start_rddrd "$RDDR_TMP/rddr.yaml"
	cd "$RDDR_ROOT"
	[[ $(in_ns c curl -sS --max-time 20 --cacert "$PKI/ca.pem" --resolve shop.test:8443:10.0.1.1 https://shop.test:8443/) == "the page" ]]
	log_of rddrd | grep -q "the certificates of the servers of service incoming are not verified"
	stop rddrd
	# From another folder there are none, and the message says which.
	run "$RDDR_BUILD/rddrd" --config "$RDDR_TMP/rddr.yaml" --check --plugin-dir "$RDDR_BUILD/diff"
	[[ $status == 1 && $output == *"incoming-proxy.protocol: certs/clientcert.pem: No such file"* ]]
}

@test "the example of the manual is a config that can be used" {
	local name
	for name in inner-ca blog; do
		make_ca "$name"
	done
	ocsp_response "$PKI/shop.ocsp" V
	awk '/^\.Sh/ { on = /EXAMPLES/ } /^\.Ed/ { code = 0 } on && code { print } /^\.Bd/ { code = 1 }' "$RDDR_ROOT/docs/rddr-tls.7" |
		sed "s|/etc/rddr|$PKI|" | sed "s|/etc/rddr|$PKI|g" >"$RDDR_TMP/rddr.yaml"
	run -0 "$RDDR_BUILD/rddrd" --config "$RDDR_TMP/rddr.yaml" --check --plugin-dir "$RDDR_BUILD/diff"
	[[ $output == *"ok: 1 service" ]]
}
