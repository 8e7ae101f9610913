// SPDX-License-Identifier: BSD-2-Clause
// Clients with a connection each, which rest between two requests for just about as long as servers keep idle connections. Every answer is looked at; the
// first that is wrong ends it all. Prints "REQUESTS POSTS".
// node load.js URL CLIENTS REQUESTS-OF-EACH MILLISECONDS...
'use strict';

const assert = require('assert');
const http = require('http');

const [url, clients, requests, ...times] = process.argv.slice(2);
const rests = times.map(Number);
let asked = 0, posts = 0;

// The same in each run.
let seed = 1;
const random = n => {
	seed = (seed * 48271) % 2147483647;
	return seed % n;
};

const ask = (agent, method, path, body) => new Promise((resolve, reject) => {
	const fail = e => reject(new Error(`${method} ${path}: ${e.message}`));
	const req = http.request(url + path, {method, agent}, res => {
		let text = '';
		res.on('data', d => { text += d; });
		res.on('error', fail);
		res.on('end', () => resolve({status: res.statusCode, text}));
	});
	req.setTimeout(120000, () => req.destroy(new Error('no answer in two minutes')));
	req.on('error', fail);
	req.end(body);
});

const client = async n => {
	const agent = new http.Agent({keepAlive: true, maxSockets: 1});
	for (let k = 0; k < Number(requests); k++) {
		const method = ['GET', 'GET', 'POST', 'GET', 'DELETE', 'PUT'][random(6)];
		const path = `/${n}/${k}`;
		const answer = await ask(agent, method, path, method === 'POST' || method === 'PUT' ? 'x'.repeat(random(3000)) : undefined);
		assert.strictEqual(answer.status, 200, `${method} ${path}: ${answer.status} ${answer.text.slice(0, 300)}`);
		assert.strictEqual(answer.text, `${method} ${path}\n`);
		asked++;
		posts += method === 'POST';
		// Most rests end within a few milliseconds of the servers' patience, before or behind.
		await new Promise(resolve => setTimeout(resolve, Math.max(1, rests[random(rests.length)] + random(13) - 6)));
	}
	agent.destroy();
};

Promise.all(Array.from({length: Number(clients)}, (_, n) => client(n))).then(() => {
	console.log(`${asked} ${posts}`);
}, e => {
	console.error(e.message);
	process.exit(1);
});
