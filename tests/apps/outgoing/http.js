// SPDX-License-Identifier: BSD-2-Clause
// Three roles. backend ADDRESS PORT LOG: keeps what it is told, notes every write, and for /next says a number that it never said before; a
// header of correlate that gets there is noted, too. app ADDRESS PORT BACKEND-ADDRESS BACKEND-PORT POOL [HOW]...: for each /do/ID it writes once
// and reads back over a pool of connections, for each /next/ID it asks for two numbers, with requests that are all the same; /seen says, and
// echoes, what came as header of correlate. HOW: tamper (writes something else for each ID that ends with 7), forward (copies the header of
// correlate), forge (for those IDs it makes one up), garble (for those it is none). drive ADDRESS PORT FIRST COUNT CONCURRENCY [next]: asks for
// each number once, and prints what was not answered as it should have been.
"use strict";
const crypto = require("crypto");
const fs = require("fs");
const http = require("http");
const [role, address, port, ...rest] = process.argv.slice(2);

const CORRELATION = "x-rddr-correlation";
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
	let numbers = 0;
	const server = http.createServer(async (request, answer) => {
		let body = "";
		for await (const data of request) body += data;
		await jitter(3);
		const from = request.socket.remoteAddress.replace("::ffff:", "");
		if (request.headers[CORRELATION]) fs.appendFileSync(log, `${from} correlation ${request.headers[CORRELATION]}\n`);
		if (request.method === "POST") {
			const { id, value } = JSON.parse(body);
			kept.set(String(id), value);
			fs.appendFileSync(log, `${from} ${id} ${value}\n`);
			answer.end(JSON.stringify({ written: id }));
		} else if (request.url === "/next") {
			answer.end(String(++numbers));
		} else {
			const id = request.url.split("/").pop();
			answer.end(JSON.stringify({ id, value: kept.get(id) || null }));
		}
	});
	server.keepAliveTimeout = 60000;
	server.listen(Number(port), address);
}

function app(host, backendPort, pool, ...how) {
	const agent = new http.Agent({ keepAlive: true, maxSockets: Number(pool) });
	const ask = async (about, method, path, body) => {
		const headers = { "X-Request-Id": Math.random().toString(36).slice(2) };
		if (body) headers["Content-Length"] = Buffer.byteLength(body);
		if (how.includes("forward") && about.correlation) headers[CORRELATION] = about.correlation;
		return call({ host, port: Number(backendPort), agent, method, path, headers }, body);
	};
	const work = {
		do: async (about) => {
			const value = how.includes("tamper") && about.odd ? "stolen" : `value-${about.id}`;
			const written = await ask(about, "POST", "/write", JSON.stringify({ id: about.id, value }));
			return [written, await ask(about, "GET", `/read/${about.id}`)];
		},
		next: async (about) => [await ask(about, "GET", "/next"), await ask(about, "GET", "/next")],
	};
	http.createServer(async (request, answer) => {
		const [, what, number] = request.url.split("/");
		const about = { id: Number(number), odd: Number(number) % 10 === 7, correlation: request.headers[CORRELATION] };
		if (what === "seen") {
			const seen = [];
			for (let i = 0; i < request.rawHeaders.length; i += 2)
				if (request.rawHeaders[i].toLowerCase().replace(/_/g, "-") === CORRELATION) seen.push(request.rawHeaders[i + 1]);
			answer.setHeader(CORRELATION, seen[0] || "none");
			answer.end(`seen ${seen.join(" and ")}\n`);
			return;
		}
		if (how.includes("forge") && about.odd) about.correlation = crypto.randomBytes(16).toString("hex");
		if (how.includes("garble") && about.odd) about.correlation = "mine";
		try {
			await jitter(3);
			const answers = await work[what](about);
			answer.statusCode = answers.every((a) => a.status === 200) ? 200 : 502;
			answer.end(`${about.id} ${answers.map((a) => a.text).join(" ")}\n`);
		} catch (e) {
			answer.statusCode = 502;
			answer.end(`${about.id} ${e.code}\n`);
		}
	}).listen(Number(port), address);
}

async function drive(first, count, concurrency, what = "do") {
	const agent = new http.Agent({ keepAlive: true, maxSockets: Number(concurrency) });
	const end = Number(first) + Number(count);
	const numbers = new Set();
	let next = Number(first);
	let good = 0;
	const fits = {
		do: (id, text) => text === `${id} {"written":${id}} {"id":"${id}","value":"value-${id}"}\n`,
		next: (id, text) => {
			const [, of, a, b] = /^(\d+) (\d+) (\d+)\n$/.exec(text) || [];
			const before = numbers.size;
			numbers.add(a).add(b);
			return of === String(id) && numbers.size === before + 2;
		},
	};
	const one = async () => {
		while (next < end) {
			const id = next++;
			const got = await call({ host: address, port: Number(port), agent, path: `/${what}/${id}` })
				.catch((e) => ({ status: e.code, text: "" }));
			if (got.status === 200 && fits[what](id, got.text)) good++;
			else console.log(`wrong ${id}: ${got.status} ${got.text.slice(0, 100).replace(/\s+/g, " ")}`);
		}
	};
	await Promise.all(Array.from({ length: Number(concurrency) }, one));
	console.log(`good ${good}`);
	agent.destroy();
}

({ backend, app, drive })[role](...rest);
