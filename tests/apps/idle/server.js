// SPDX-License-Identifier: BSD-2-Clause
// Answers everything alike, and ends connections that were idle for so many milliseconds. GET /posts: how many POSTs it carried out.
// node server.js ADDRESS PORT MILLISECONDS
'use strict';

const http = require('http');

const [address, port, idle] = process.argv.slice(2);
let posts = 0;

const server = http.createServer((req, res) => {
	let length = 0;
	req.on('data', d => { length += d.length; });
	req.on('end', () => {
		posts += req.method === 'POST';
		const body = req.url === '/posts' ? `${posts}\n` : `${req.method} ${req.url}\n`;
		res.writeHead(200, {'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(body)});
		res.end(body);
	});
});
server.keepAliveTimeout = Number(idle);
// Later versions wait for a while longer than they say.
server.keepAliveTimeoutBuffer = 0;
server.listen(Number(port), address, 4096);
