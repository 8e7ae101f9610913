// SPDX-License-Identifier: BSD-2-Clause
// The shop's API in JavaScript. node node.js ADDRESS PORT [KEEP-ALIVE-MILLISECONDS]
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const path = require('path');

const [address, port, keepAlive] = process.argv.slice(2);

// JavaScript's numbers cannot hold all of these, so each item is kept as it was written, but for the white space outside of strings.
const lines = fs.readFileSync(path.join(__dirname, 'data.json'), 'utf8').split('\n').slice(1, -2)
	.map(line => line.trim().replace(/,$/, '').replace(/("(?:[^"\\]|\\.)*")|\s+/g, (all, string) => string || ''));
const items = lines.map(text => ({text, id: /"id":(\d+)/.exec(text)[1], tags: JSON.parse(text).tags}));

const list = found => `{"count":${found.length},"items":[${found.map(item => item.text).join(',')}],"request":"${crypto.randomUUID()}"}`;

const route = url => {
	const {pathname, searchParams} = new URL(url, 'http://here');
	if (pathname === '/api/items')
		return list(items.filter(item => !searchParams.has('tag') || item.tags.includes(searchParams.get('tag'))));
	const one = /^\/api\/items\/(\d+)$/.exec(pathname);
	const item = one && items.find(i => i.id === one[1]);
	if (item)
		return item.text;
	if (pathname === '/api/tags')
		return JSON.stringify([...new Set(items.flatMap(i => i.tags))]);
	return null;
};

const server = http.createServer((req, res) => {
	const found = route(req.url);
	const body = found || '{"error":"not found","path":"' + req.url.split('?')[0] + '"}';
	res.writeHead(found ? 200 : 404, {'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body)});
	res.end(req.method === 'HEAD' ? undefined : body);
});
if (keepAlive)
	server.keepAliveTimeout = Number(keepAlive);
server.listen(Number(port), address);
