#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Builds a site of pages that link to each other, style sheets, scripts, pictures, texts large and small, data. The same bytes every time.
# build.sh DIRECTORY [PAGES]
set -euo pipefail
dir=$1 pages=${2:-60}
mkdir -p "$dir"/{pages,assets,files,empty\ space}
cd "$dir"

# noise NAME BYTES: the same for the same name.
noise() { openssl enc -aes-128-ctr -pass "pass:$1" -nosalt -md sha256 </dev/zero 2>/dev/null | head -c "$2" || true; }

page() {
	printf '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>%s</title>\n' "$1"
	printf '<link rel="stylesheet" href="%sassets/style.css">\n<script src="%sassets/page.js" defer></script></head>\n<body>\n<h1>%s</h1>\n' "$2" "$2" "$1"
	cat
	printf '</body>\n</html>\n'
}

for ((i = 1; i <= pages; i++)); do
	{
		printf '<p>This is page %d of %d.</p>\n' "$i" "$pages"
		for ((k = 0; k < i * 3; k++)); do
			printf '<p id="p%d">Line %d of the page, as long as %d words would be: äöü, &amp;c.</p>\n' "$k" "$k" "$((i * k % 97))"
		done
		printf '<img src="../assets/picture-%d.png" alt="a picture">\n' "$((i % 12))"
		printf '<p><a href="page-%d.html">next</a> <a href="page-%d.html?from=%d&amp;to=x">another</a> <a href="../">home</a> <a href="./">all</a></p>\n' \
			"$((i % pages + 1))" "$((i * 7 % pages + 1))" "$i"
	} | page "Page $i" ../ >"pages/page-$i.html"
done
for ((i = 1; i <= pages; i++)); do printf '<li><a href="page-%d.html">page %d</a></li>\n' "$i" "$i"; done | page "All pages" ../ >pages/index.html
for i in {0..11}; do
	{
		printf '\x89PNG\r\n\x1a\n'
		noise "picture $i" "$((i * i * 700 + 100))"
	} >"assets/picture-$i.png"
done
for ((i = 0; i < 200; i++)); do printf '.c%d { color: #%06x; }\n' "$i" "$((i * 7919))"; done >assets/style.css
printf '"use strict";\ndocument.title += " \xe2\x9c\x93";\n' >assets/page.js
for ((i = 0; i < 20000; i++)); do printf 'line %d of a long text\n' "$i"; done >files/long.txt
: >files/empty.txt
printf 'a text without an end of its last line' >files/short.txt
printf '{"pages": %d, "list": [1, 2.50, "three", null], "nested": {"a": {"b": []}}}\n' "$pages" >files/data.json
printf '<?xml version="1.0"?>\n<feed><entry>one</entry></feed>\n' >files/feed.xml
printf '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M1 1h7v7z"/></svg>\n' >assets/logo.svg
noise download 300000 >files/download.bin
printf 'a name with a space\n' >'empty space/a file.txt'
{
	printf '<p><a href="pages/">pages</a></p><img src="assets/logo.svg" alt="logo">\n<ul>\n'
	for f in long.txt empty.txt short.txt data.json feed.xml download.bin; do printf '<li><a href="files/%s">%s</a></li>\n' "$f" "$f"; done
	printf '<li><a href="empty%%20space/a%%20file.txt">a file</a></li>\n</ul>\n'
} | page "The site" "" >index.html
echo '<p>There is nothing here.</p>' | page "Not found" / >missing.html
# Copies of a site have the same times.
find . -exec touch -h -d '2024-05-06 07:08:09 UTC' {} +
