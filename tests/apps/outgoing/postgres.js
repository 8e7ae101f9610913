// SPDX-License-Identifier: BSD-2-Clause
// Three roles. app ADDRESS PORT DB-HOST DB-PORT POOL [TAMPER]: for each /do/ID it writes once, in a transaction or not, and reads back over a
// pool of connections to PostgreSQL. drive ADDRESS PORT FIRST COUNT CONCURRENCY: asks for each number once, and prints what was not answered
// as it should have been. run HOST PORT PROGRAM NAME [FILE]: one of the short programs at the end.
// NOISE=1: every statement has an id of the request in it, which is another at each instance.
"use strict";
const http = require("http");
const { Pool, Client } = require("pg");
const [role, address, port, ...rest] = process.argv.slice(2);

const jitter = (ms) => new Promise((resolve) => setTimeout(resolve, Math.random() * ms));
const word = () => Math.random().toString(36).slice(2, 10).padEnd(8, "x");
const login = { user: "app", password: process.env.PGPASSWORD || "secret", database: "shop", connectionTimeoutMillis: 120000 };

function app(host, dbPort, size, tamper) {
	const pool = new Pool({ ...login, host, port: Number(dbPort), max: Number(size), idleTimeoutMillis: 60000 });
	pool.on("error", (e) => console.log(`pool: ${e.code} ${e.message}`));
	const say = (text) => (process.env.NOISE ? `/* request ${word()} */ ${text}` : text);
	const insert = "INSERT INTO orders (id, value, note) VALUES ($1, $2, $3) RETURNING id";
	const note = () => (process.env.NOISE ? word() : "none");

	const block = async (id, value) => {
		const client = await pool.connect();
		try {
			await client.query("BEGIN");
			const written = await client.query(say(insert), [id, value, note()]);
			const read = await client.query(say("SELECT id, value FROM orders WHERE id = $1"), [id]);
			await client.query(id % 8 === 0 ? "ROLLBACK" : "COMMIT");
			client.release();
			return [written, read];
		} catch (e) {
			client.release(e);
			throw e;
		}
	};
	const single = async (id, value) => {
		const written = await pool.query(say(insert), [id, value, note()]);
		return [written, await pool.query(say(`SELECT id, value FROM orders WHERE id = ${id}`))];
	};
	http.createServer(async (request, answer) => {
		const id = Number(request.url.split("/").pop());
		const value = tamper && id % 10 === 7 ? "stolen" : `value-${id}`;
		try {
			await jitter(3);
			const [written, read] = await (id % 4 === 0 ? block : single)(id, value);
			answer.end(`${id} ${JSON.stringify(written.rows)} ${JSON.stringify(read.rows)}\n`);
		} catch (e) {
			answer.statusCode = 502;
			answer.end(`${id} ${e.code}\n`);
			console.log(`${id}: ${e.code} ${e.message}`);
		}
	}).listen(Number(port), address);
}

function call(options) {
	return new Promise((resolve, reject) => {
		const request = http.request(options, (answer) => {
			let text = "";
			answer.on("data", (data) => { text += data; });
			answer.on("end", () => resolve({ status: answer.statusCode, text }));
			answer.on("error", reject);
		});
		request.on("error", reject);
		request.end();
	});
}

async function drive(first, count, concurrency) {
	const agent = new http.Agent({ keepAlive: true, maxSockets: Number(concurrency) });
	const end = Number(first) + Number(count);
	let next = Number(first);
	let good = 0;
	const one = async () => {
		while (next < end) {
			const id = next++;
			const expected = `${id} [{"id":${id}}] [{"id":${id},"value":"value-${id}"}]\n`;
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

// ---- short programs, one connection each, which print what they were answered ----

const programs = {
	// Settings and prepared statements go with the connection, wherever the backend's is.
	async settings(client, wait) {
		await client.query("SET search_path TO other, public");
		await client.query({ name: "named", text: "SELECT $1::int + 1 AS n", values: [1] });
		await client.query("BEGIN");
		await client.query("SET timezone TO 'Asia/Tokyo'");
		await client.query("ROLLBACK");
		await client.query("SET application_name TO 'first'");
		await client.query("SET application_name TO 'second'");
		await wait();
		console.log((await client.query("SHOW search_path")).rows[0].search_path);
		console.log((await client.query("SHOW timezone")).rows[0].TimeZone);
		console.log((await client.query("SHOW application_name")).rows[0].application_name);
		console.log((await client.query({ name: "named", text: "SELECT $1::int + 1 AS n", values: [41] })).rows[0].n);
		await client.query("DISCARD ALL");
		console.log((await client.query("SHOW search_path")).rows[0].search_path);
	},
	// What no other connection of the backend's could do.
	async sticks(client) {
		await client.query("CREATE TEMP TABLE mine (n int)");
		for (let i = 0; i < 3; i++) await client.query("INSERT INTO mine VALUES ($1)", [i]);
		console.log((await client.query("SELECT count(*) FROM mine")).rows[0].count);
		const heard = new Promise((done) => client.on("notification", (n) => done(`${n.channel} ${n.payload}`)));
		await client.query("LISTEN house");
		await client.query("SELECT pg_notify('house', 'to everybody')");
		console.log(await heard);
	},
	// Two more forms of what a session remembers.
	async remembers(client) {
		await client.query("INSERT INTO numbered (value) VALUES ('a')");
		console.log((await client.query("INSERT INTO numbered (value) VALUES ('b'); SELECT lastval() IS NOT NULL AS known"))[1].rows[0].known);
		await client.query("SELECT lastval()").then(() => console.log("?"), (e) => console.log(e.code));
	},
	async cancel(client, wait) {
		const slow = client.query("SELECT pg_sleep(300)").then(() => "?", (e) => `${e.code}`);
		await wait();
		const other = new Client({ ...login, host: address, port: Number(port) });
		other.cancel(client, client.activeQuery || client._activeQuery);
		console.log(await slow);
		console.log((await client.query("SELECT 1 AS n")).rows[0].n);
	},
	// The third of them says something else in the middle of a block.
	async differs(client, wait, name) {
		await client.query("BEGIN");
		await client.query("INSERT INTO orders (id) VALUES (1)");
		await client.query(`INSERT INTO orders (id) VALUES (${name === "three" ? 3 : 2})`);
		await client.query("COMMIT");
		console.log("?");
	},
	// More than is looked at to pair it.
	async long(client) {
		const text = "x".repeat(300000);
		await client.query(`INSERT INTO orders (id, value) VALUES (1, '${text}')`);
		await client.query("INSERT INTO orders (id, value) VALUES ($1, $2)", [2, text + text]);
		console.log((await client.query("SELECT length(value) AS n FROM orders ORDER BY id")).rows.map((r) => r.n).join(" "));
	},
	async slow(client) {
		await client.query("INSERT INTO orders (id) VALUES (1)");
		console.log("written");
		await client.query("SELECT pg_sleep(300)");
		console.log("?");
	},
};

// run HOST PORT PROGRAM NAME [FILE]: wait() says "ready" and waits until FILE is there.
async function run(program, name, file) {
	const fs = require("fs");
	const client = new Client({ ...login, host: address, port: Number(port) });
	const wait = async () => {
		console.log("ready");
		while (!fs.existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 50));
	};
	client.on("error", () => {});
	await client.connect();
	await programs[program](client, wait, name);
	await client.end();
}

Promise.resolve(({ app, drive, run })[role](...rest)).catch((e) => {
	console.log(`error ${e.code} ${e.message}`);
	process.exit(1);
});
