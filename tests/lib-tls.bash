# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# Certificates of the test's own, and clients and servers that speak TLS. `load lib` comes first.

PKI="$RDDR_TMP/pki"
export PKI

# make_ca NAME: a root, PKI/NAME.pem with its key.
make_ca() {
	mkdir -p "$PKI"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$1" \
		-keyout "$PKI/$1.key" -out "$PKI/$1.pem" 2>/dev/null
}

# make_cert NAME CA SAN [X509 ARGS]: PKI/NAME.pem with its key, signed by the CA. KEY=rsa:2048 makes another kind of key.
make_cert() {
	local name=$1 ca=$2 san=$3 key=(ec -pkeyopt ec_paramgen_curve:P-256)
	shift 3
	[[ -z ${KEY:-} ]] || key=("$KEY")
	openssl req -new -newkey "${key[@]}" -nodes -subj "/CN=$name" -addext "subjectAltName=$san" \
		-keyout "$PKI/$name.key" -out "$PKI/$name.csr" 2>/dev/null || return
	(($#)) || set -- -days 30
	openssl x509 -req -in "$PKI/$name.csr" -CA "$PKI/$ca.pem" -CAkey "$PKI/$ca.key" -copy_extensions copy \
		-out "$PKI/$name.new" "$@" 2>/dev/null || return
	mv "$PKI/$name.new" "$PKI/$name.pem"
}

# make_expired NAME CA SAN: one that was valid, once.
make_expired() {
	local dir
	dir=$(mktemp -d "$PKI/ca.XXXXXX")
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -addext "subjectAltName=$3" \
		-keyout "$PKI/$1.key" -out "$PKI/$1.csr" 2>/dev/null || return
	: >"$dir/index"
	printf '[ca]\ndefault_ca=x\n[x]\ndatabase=%s\nnew_certs_dir=%s\nrand_serial=yes\ndefault_md=sha256\npolicy=p\ncopy_extensions=copy\nunique_subject=no\n[p]\ncommonName=supplied\n' \
		"$dir/index" "$dir" >"$dir/conf"
	openssl ca -batch -config "$dir/conf" -cert "$PKI/$2.pem" -keyfile "$PKI/$2.key" -in "$PKI/$1.csr" -out "$PKI/$1.pem" -notext \
		-startdate 20200101000000Z -enddate 20210101000000Z >/dev/null 2>&1
}

# pki: what most tests need. shop: of the service; inst: of the instances, by name and by address; user: of a client.
pki() {
	make_ca ca && make_ca other || return
	make_cert shop ca DNS:shop.test
	make_cert inst ca "DNS:inst.test,IP:10.0.2.2,IP:10.0.3.2,IP:10.0.4.2,IP:127.0.0.1"
	make_cert user ca DNS:user.test
}

# start_tls_web I [CERT] [ARGS of start_nginx]: nginx that answers over TLS at port 443 of server I.
start_tls_web() {
	local i=$1 cert=${2:-inst}
	shift
	(($# == 0)) || shift
	mkdir -p "$RDDR_TMP/s$i/up"
	start_nginx "$i" --page "the page" --conf "
		listen 443 ssl backlog=4096; listen [::]:443 ssl backlog=4096;
		ssl_certificate $PKI/$cert.pem; ssl_certificate_key $PKI/$cert.key;
		ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:s$i:1m;
		location /up/ { root $RDDR_TMP/s$i; dav_methods PUT; }
		location = /tls { default_type text/plain; return 200 \"\$ssl_protocol \$ssl_client_verify \$ssl_server_name \$ssl_alpn_protocol\n\"; }
		location = /resumed { default_type text/plain; return 200 \"\$ssl_session_reused\n\"; }
		$TLS_WEB" "$@"
}

# tls_get HOST [ARGS] PATH: curl at the service's address 10.0.2.2, which it takes for HOST.
tls_get() {
	local host=$1
	shift
	in_ns c curl -sS --max-time 20 --cacert "$PKI/ca.pem" --resolve "$host:443:10.0.2.2" "${@:1:$#-1}" "https://$host${*: -1}"
}

# s_client ARGS: openssl's client at the service's address, with nothing to say.
s_client() { in_ns c timeout 20 openssl s_client -connect 10.0.2.2:443 -CAfile "$PKI/ca.pem" "$@" </dev/null 2>&1; }
