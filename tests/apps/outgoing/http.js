// SPDX-License-Identifier: BSD-2-Clause
// Three roles. backend ADDRESS PORT LOG: keeps what it is told, and notes every write. app ADDRESS PORT BACKEND-ADDRESS BACKEND-PORT POOL
// [TAMPER]: for each /do/ID it writes once and reads back over a pool of connections. drive ADDRESS PORT FIRST COUNT CONCURRENCY: asks for each
// number once, and prints what was not answered as it should have been.
"use strict";
const fs = require("fs");
const http = require("http");
const [role, address, port, ...rest] = process.argv.slice(2);

const jitter = (ms) => new Promise((resolve) => setTimeout(resolve, Math.random() * ms));

function call(options, body) {
	return new Promise((resolve, reject) => {
		const request = http.request(options, (answer) => {
			let text = "";
			answer.on("data", (data) => { text += data; });
			answer.on("end", () => resolve({ status: answer.statusCode, text }));
			answer.on("error", reject);
		});
		request.on("error", reject);
		request.end(body);
	});
}

function backend(log) {
	const kept = new Map();
	const server = http.createServer(async (request, answer) => {
		let body = "";
		for await (const data of request) body += data;
		await jitter(3);
		const from = request.socket.remoteAddress.replace("::ffff:", "");
		if (request.method === "POST") {
			const { id, value } = JSON.parse(body);
			kept.set(String(id), value);
			fs.appendFileSync(log, `${from} ${id} ${value}\n`);
			answer.end(JSON.stringify({ written: id }));
		} else {
			const id = request.url.split("/").pop();
			answer.end(JSON.stringify({ id, value: kept.get(id) || null }));
		}
	});
	server.keepAliveTimeout = 60000;
	server.listen(Number(port), address);
}

function app(host, backendPort, pool, tamper) {
	const agent = new http.Agent({ keepAlive: true, maxSockets: Number(pool) });
	const ask = async (method, path, body) => {
		const headers = { "X-Request-Id": Math.random().toString(36).slice(2) };
		if (body) headers["Content-Length"] = Buffer.byteLength(body);
		return call({ host, port: Number(backendPort), agent, method, path, headers }, body);
	};
	http.createServer(async (request, answer) => {
		const id = Number(request.url.split("/").pop());
		const value = tamper && id % 10 === 7 ? "stolen" : `value-${id}`;
		try {
			await jitter(3);
			const written = await ask("POST", "/write", JSON.stringify({ id, value }));
			const read = await ask("GET", `/read/${id}`);
			answer.statusCode = written.status === 200 && read.status === 200 ? 200 : 502;
			answer.end(`${id} ${written.text} ${read.text}\n`);
		} catch (e) {
			answer.statusCode = 502;
			answer.end(`${id} ${e.code}\n`);
		}
	}).listen(Number(port), address);
}

async function drive(first, count, concurrency) {
	const agent = new http.Agent({ keepAlive: true, maxSockets: Number(concurrency) });
	const end = Number(first) + Number(count);
	let next = Number(first);
	let good = 0;
	const one = async () => {
		while (next < end) {
			const id = next++;
			const expected = `${id} {"written":${id}} {"id":"${id}","value":"value-${id}"}\n`;
			const got = await call({ host: address, port: Number(port), agent, path: `/do/${id}` })
				.catch((e) => ({ status: e.code, text: "" }));
			if (got.status === 200 && got.text === expected) good++;
			else console.log(`wrong ${id}: ${got.status} ${got.text.slice(0, 100).replace(/\s+/g, " ")}`);
		}
	};
	await Promise.all(Array.from({ length: Number(concurrency) }, one));
	console.log(`good ${good}`);
	agent.destroy();
}

({ backend, app, drive })[role](...rest);
