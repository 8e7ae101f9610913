// SPDX-License-Identifier: BSD-2-Clause
// A protocol of lines, over TLS where TLS_CHAIN and TLS_KEY, or TLS_CA and TLS_NAME, are set. serve ADDRESS PORT LOG [GREETING]: notes every line, with whom it sees, and answers with it.
// write HOST PORT LINE...: sends each line once the last was answered, and prints the answers; "-" waits for a line first.
"use strict";
const fs = require("fs");
const net = require("net");
const tls = require("tls");
const [role, address, port, ...rest] = process.argv.slice(2);

function serve(log, greeting) {
	const { TLS_CHAIN: chain, TLS_KEY: key } = process.env;
	const secure = chain ? (on) => tls.createServer({ cert: fs.readFileSync(chain), key: fs.readFileSync(key) }, on) : net.createServer;
	secure((socket) => {
		let left = "";
		socket.on("error", (e) => fs.appendFileSync(log, `error ${e.code}\n`));
		if (greeting) socket.write(greeting + "\n");
		socket.on("data", (data) => {
			const lines = (left + data).split("\n");
			left = lines.pop();
			for (const line of lines) {
				fs.appendFileSync(log, `${socket.remoteAddress} ${line}\n`);
				socket.write(`got ${line}\n`);
			}
		});
		socket.on("end", () => socket.end());
	}).listen(Number(port), address);
}

function write(lines) {
	const { TLS_CA: ca, TLS_NAME: servername } = process.env;
	const socket = ca ? tls.connect({ port: Number(port), host: address, ca: fs.readFileSync(ca), servername }) : net.connect(Number(port), address);
	let left = "";
	const next = () => {
		if (!lines.length) socket.end();
		else if (lines[0] === "-") lines.shift();
		else socket.write(lines.shift() + "\n");
	};
	socket.on(ca ? "secureConnect" : "connect", next);
	socket.on("error", (e) => { console.log(`error ${e.code}`); process.exitCode = 1; });
	socket.on("data", (data) => {
		const got = (left + data).split("\n");
		left = got.pop();
		for (const line of got) { console.log(line); next(); }
	});
}

if (role === "serve") serve(...rest);
else write(rest);
