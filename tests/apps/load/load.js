// SPDX-License-Identifier: BSD-2-Clause
// Visitors who do nothing wrong: of the site, the API and the notebook, many at once, over connections that are kept and connections that are not, with
// pauses about as long as servers keep idle connections. Each answer is looked at. A connection that ends as it is used again, when every server has
// closed it, is what HTTP clients have to expect: what may be repeated is asked once more. Prints how many requests were answered, and how many asked again.
// node load.js REQUESTS SITE-URL SITE-DIRECTORY API-URL NOTEBOOK-URL
'use strict';

const assert = require('assert');
const fs = require('fs');
const http = require('http');
const path = require('path');

const [requests, site, directory, api, notebook] = process.argv.slice(2);
const total = Number(requests);
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

const answered = {};
let again = 0;

// One exchange. what: {method, path, headers, body, agent}
const ask = (base, what, repeated) => new Promise((resolve, reject) => {
	const url = new URL(what.path, base);
	const name = `${what.method || 'GET'} ${url}`;
	const req = http.request(url, {method: what.method || 'GET', headers: what.headers, agent: what.agent}, res => {
		const parts = [];
		res.on('data', d => parts.push(d));
		res.on('error', e => reject(new Error(`${name}: ${e.message}`)));
		res.on('end', () => {
			answered[base] = (answered[base] || 0) + 1;
			resolve({status: res.statusCode, headers: res.headers, body: Buffer.concat(parts), name});
		});
	});
	req.setTimeout(120000, () => req.destroy(new Error('no answer in two minutes')));
	req.on('error', e => {
		if (!repeated && e.code === 'ECONNRESET' && req.reusedSocket && !req.res && !what.body && (what.method || 'GET') !== 'POST') {
			again++;
			resolve(ask(base, what, true));
			return;
		}
		reject(new Error(`${name}: ${e.message}, on a connection ${req.reusedSocket ? 'used before' : 'of its own'}`));
	});
	req.end(what.body);
});

const is = (answer, status, text) => {
	const seen = `${answer.name}: ${answer.status} ${JSON.stringify(answer.headers)}\n${answer.body.subarray(0, 2000)}`;
	assert.strictEqual(answer.status, status, seen);
	if (text)
		assert.ok(answer.body.includes(text), `no '${text}' in ${seen}`);
};

const walk = (dir, at = '') => fs.readdirSync(path.join(dir, at), {withFileTypes: true}).flatMap(e =>
	e.isDirectory() ? walk(dir, path.join(at, e.name)) : [path.join(at, e.name)]);
const files = walk(directory).filter(f => f !== 'missing.html').map(f => ({
	path: '/' + f.split('/').map(encodeURIComponent).join('/'),
	body: fs.readFileSync(path.join(directory, f)),
})).filter(f => f.body.length < 100000);

const visits = {
	// A file, whole, by its head, in part, not again, or one that is not there.
	async site(n, agent, k) {
		const file = files[(n * 31 + k * 7) % files.length];
		const whole = await ask(site, {path: file.path + (k % 3 ? '' : '?v=' + k), agent});
		is(whole, 200);
		assert.ok(whole.body.equals(file.body), whole.name + ': another page');
		is(await ask(site, {path: file.path, agent, headers: {'If-None-Match': whole.headers.etag}}), 304);
		is(await ask(site, {path: file.path, agent, method: 'HEAD'}), 200);
		is(await ask(site, {path: `/nothing-${n}-${k}.html`, agent}), 404, 'Not found');
		if (file.body.length > 10) {
			const part = await ask(site, {path: file.path, agent, headers: {Range: 'bytes=3-9'}});
			is(part, 206);
			assert.ok(part.body.equals(file.body.subarray(3, 10)), part.name + ': another part');
		}
	},

	async api(n, agent, k) {
		const tag = ['food', 'drink', 'odd', 'none'][k % 4];
		const list = await ask(api, {path: '/api/items?tag=' + tag, agent, headers: {Accept: 'application/json'}});
		is(list, 200);
		assert.strictEqual(JSON.parse(list.body).count, tag === 'none' ? 0 : 1);
		is(await ask(api, {path: '/api/items', agent}), 200, '12345678901234567890');
		is(await ask(api, {path: `/api/items/${k % 3 + 1}`, agent}), 200, `"id":${k % 3 + 1},`);
		is(await ask(api, {path: '/api/items/' + (100 + k), agent}), 404, 'not found');
		is(await ask(api, {path: '/api/items/1', agent, method: 'HEAD'}), 200);
	},

	// From log-in to log-out, with a cookie jar of one cookie.
	async notebook(n, agent, k) {
		const user = 'user' + n;
		let cookie, token, page;
		const go = async (path, form, headers) => {
			const body = form && (form.json ? JSON.stringify(form.json) : new URLSearchParams({...form, _csrf: token}).toString());
			const answer = await ask(notebook, {path, agent, method: form ? 'POST' : 'GET', body, headers: {
				...(cookie && {Cookie: cookie}), ...(form && {'Content-Type': 'application/' + (form.json ? 'json' : 'x-www-form-urlencoded'),
					'Content-Length': Buffer.byteLength(body)}), ...headers}});
			for (const line of answer.headers['set-cookie'] || [])
				cookie = line.split(';')[0];
			page = answer.body.toString();
			token = (/name="_csrf" value="([^"]+)"/.exec(page) || [, token])[1];
			return answer;
		};
		is(await go('/'), 200, 'Log in');
		is(await go('/login', {user, password: 'password of ' + user}), 303);
		is(await go('/notes'), 200, 'Notes of ' + user);
		for (let i = 0; i < 3; i++) {
			const text = `note ${i} of ${n}, & <more>`;
			const written = await go('/notes', {text});
			is(written, 303);
			is(await go(written.headers.location), 200, `note ${i} of ${n}, &#38; &#60;more&#62;`);
			is(await go(/action="([^"]+\/remove)"/.exec(page)[1], {}), 303);
			is(await go(written.headers.location), 404, 'No such note');
		}
		const made = await go('/api/notes', {json: {text: 'by a script', tags: [k]}}, {'X-CSRF-Token': token});
		is(made, 201, '"by a script"');
		const {id, links} = JSON.parse(made.body);
		is(await go(links.self), 200, 'by a script');
		is(await go('/api/remove', {json: {id}}, {'X-CSRF-Token': token}), 200, 'true');
		is(await go('/notes'), 200);
		is(await go('/logout', {}), 303);
		is(await go('/notes'), 302);
	},
};

// Where each goes, how many visitors it has, and its part of the requests.
const plan = [['site', site, 8, 0.5], ['api', api, 6, 0.3], ['notebook', notebook, 6, 0.2]];

const visitor = async (kind, base, n, wanted) => {
	const agent = new http.Agent({keepAlive: true, maxSockets: 1});
	for (let k = 0; (answered[base] || 0) < wanted; k++) {
		// Every fifth visit is over connections that are not kept.
		await visits[kind](n, k % 5 === 4 ? new http.Agent({keepAlive: false}) : agent, k);
		if (k % 12 === 11)
			await sleep([900, 1050, 1300, 2100, 3200][(n + k) % 5]);
	}
	agent.destroy();
};

Promise.all(plan.flatMap(([kind, base, visitors, part]) =>
	Array.from({length: visitors}, (_, n) => visitor(kind, base, n + 1, Math.ceil(total * part))))).then(() => {
	console.log('answered', Object.values(answered).reduce((a, b) => a + b), 'again', again);
}, error => {
	console.error(error.message);
	process.exit(1);
});
