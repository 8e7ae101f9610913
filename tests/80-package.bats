#!/usr/bin/env bats
# SPDX-License-Identifier: BSD-2-Clause
# What the packages hold, and what Debian's own judge says of them. tests/e2e installs them.

load lib

# The sanitizers' build has no packages of its own.
DEB=${RDDR_BUILD%/san}/deb

setup_file() {
	cd "$RDDR_ROOT" || return
	make --no-print-directory BUILD="${RDDR_BUILD%/san}" deb >"$BATS_FILE_TMPDIR/built" 2>&1 || { cat "$BATS_FILE_TMPDIR/built"; return 1; }
}

package() { echo "$DEB/$1"_[0-9]*.deb; }
holds() { dpkg-deb --contents "$(package "$1")" | awk '{ print $6 }' | grep -qx "\./$2"; }

@test "programs, plugins, scripts, units, pages, completion and examples are in the package" {
	local file
	for file in usr/sbin/rddrd usr/bin/rddrctl usr/sbin/rddr-{steer,attach,detach,status,doctor} usr/lib/rddr/{service,lib.sh} \
		lib/systemd/system/{rddrd,rddr-steer,rddr-interfaces}.service etc/default/rddr usr/share/bash-completion/completions/{rddrd,rddrctl}; do
		holds rddr "$file" || { echo "no $file"; false; }
	done
	for file in "${RDDR_BUILD%/san}"/diff/*.so; do
		holds rddr "usr/lib/rddr/diff/$(basename "$file")"
	done
	for file in "$RDDR_ROOT"/docs/*.[5-8]; do
		holds rddr "usr/share/man/man${file##*.}/$(basename "$file").gz"
	done
	for file in "$RDDR_ROOT"/docs/examples/*.yaml; do
		holds rddr "usr/share/doc/rddr/examples/$(basename "$file")"
	done
	[[ $(dpkg-deb --info "$(package rddr)" conffiles) == /etc/default/rddr ]]
}

@test "the developer's package has the header, its page and the plugin to copy, the debug package has symbols" {
	holds rddr-dev usr/include/rddr_diff.h
	holds rddr-dev usr/share/man/man3/rddr-diff.3.gz
	holds rddr-dev usr/share/doc/rddr-dev/examples/skeleton.c
	dpkg-deb --contents "$(package rddr-dbgsym)" | grep -q '/usr/lib/debug/.build-id/.*\.debug'
}

@test "lintian has nothing to say" {
	run lintian --fail-on error,warning --tag-display-limit 0 "$(package rddr)" "$(package rddr-dev)"
	echo "$output"
	[[ $status == 0 && $output != *[EW]:\ rddr* ]]
}

@test "the units are locked up well below what systemd calls exposed" {
	local unit score
	for unit in rddrd rddr-steer rddr-interfaces; do
		score=$(systemd-analyze security --offline=true "$RDDR_ROOT/scripts/systemd/$unit.service" | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
		echo "$unit: $score"
		awk -v s="$score" 'BEGIN { exit !(s > 0 && s < 2.5) }'
	done
}

@test "whoever builds the package is given all that it is built with" {
	local package packages
	# dpkg-buildpackage wants it, whatever the control file says.
	grep -qx build-essential "$RDDR_ROOT/debian/packages"
	mapfile -t packages < <(sed -n '/^Build-Depends:/,/^[^ ]*:/{s/^ \([a-z0-9.+-]*\).*/\1/p}' "$RDDR_ROOT/debian/control")
	((${#packages[@]} > 10))
	for package in "${packages[@]}"; do
		[[ $package != debhelper-compat ]] || package=debhelper
		grep -qx "$package" "$RDDR_ROOT/debian/packages" || { echo "not in debian/packages: $package"; return 1; }
	done
}
