# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# The end-to-end suite from outside: puts the packages and the tests into a machine, runs them there, boots it anew in
# between, and prints TAP. Who sources this has `inside CMD...`, which runs a command as root in the machine, with its
# standard input, output and exit status, and `boot_again`.

# next_package FIRST.deb NEXT.deb: the same package as a newer version, with kernel programs that are others.
next_package() {
	local work status=0
	work=$(mktemp -d)
	dpkg-deb --raw-extract "$1" "$work/tree" &&
		sed -i -E 's/^(Version: .*)$/\1+next/' "$work/tree/DEBIAN/control" &&
		install -m 755 "$RDDR_BUILD/tests/tools/rddr-steer-program" "$work/tree/usr/sbin/rddr-steer" &&
		(cd "$work/tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum >DEBIAN/md5sums) &&
		dpkg-deb --build --root-owner-group -Zgzip -z1 "$work/tree" "$2" >/dev/null || status=$?
	rm -rf "$work"
	return $status
}

# suite_depends FIRST.deb ROOT DIR: the packages that it depends on and the machine's root file system does not have, from Debian, into
# DIR. To be called where there is a network: the machine has none to fetch them by.
suite_depends() {
	local name missing=()
	mkdir -p "$3"
	for name in $(dpkg-deb --field "$1" Depends | sed 's/([^)]*)//g; s/,/ /g'); do
		dpkg-query --admindir="$2/var/lib/dpkg" --show "$name" >/dev/null 2>&1 || missing+=("$name")
	done
	((${#missing[@]} == 0)) || (cd "$3" && apt-get -q download "${missing[@]}")
}

# suite_prepare FIRST.deb DEPENDS: what suite_depends has fetched.
# shellcheck disable=SC2016 # the machine's shell's
suite_prepare() {
	local stage status=0
	stage=$(mktemp -d)
	mkdir -p "$stage/debs" "$stage/tests"
	cp -r "$2" "$stage/debs/depends" && cp "$1" "$stage/debs/first.deb" && next_package "$1" "$stage/debs/next.deb" &&
		cp -r tests/lib.bash tests/e2e "$stage/tests/" && cp README.md "$stage/" &&
		tar -C "$stage" --owner=0 --group=0 -c . | inside sh -c 'mkdir -p /opt/e2e && tar -C /opt/e2e -x' &&
		inside sh -c 'set -- /opt/e2e/debs/depends/*.deb; [ ! -e "$1" ] || dpkg --install "$@"' &&
		inside /opt/e2e/tests/e2e/lab install || status=$?
	rm -rf "$stage"
	return $status
}

_bats() { inside env RDDR_PATIENCE="${RDDR_PATIENCE:-1}" bats --tap --timing "${@/#//opt/e2e/tests/e2e/}" </dev/null; }

# suite_run: TAP of all files; those from 7 on after a boot of their own.
suite_run() {
	local files=() before=() after=() file status=0
	mapfile -t files < <(cd tests/e2e && ls -- *.bats)
	for file in "${files[@]}"; do
		case $file in
		[7-9]*) after+=("$file") ;;
		*) before+=("$file") ;;
		esac
	done
	_bats "${before[@]}" || status=1
	if boot_again; then
		_bats "${after[@]}" || status=1
	else
		printf '1..1\nnot ok 1 the machine boots again\n'
		status=1
	fi
	return $status
}
