// SPDX-License-Identifier: BSD-2-Clause
// A client by the package `pg`: a pool, parameters, types, errors, transactions, notifications. Prints what it got.
'use strict';
const { Pool, Client } = require('pg');
const config = { host: '127.0.0.1', port: Number(process.argv[2]), user: 'postgres', database: 'postgres' };

async function main() {
	const pool = new Pool({ ...config, max: 4 });
	await pool.query('create table js (id int primary key, name text, data jsonb, raw bytea)');
	const rows = await Promise.all([...Array(40).keys()].map((i) =>
		pool.query('insert into js values ($1, $2, $3, $4) returning id, name', [i, `n${i}`, { i }, Buffer.from([i, 0, 255])])));
	console.log(rows.map((r) => `${r.command} ${r.rows[0].id} ${r.rows[0].name}`).join('\n'));
	console.log(JSON.stringify((await pool.query('select * from js order by id limit 3')).rows));
	for (const bad of ['selec 1', 'select * from nowhere', 'insert into js values (1)']) {
		await pool.query(bad).then(() => console.log('?'), (e) => console.log(e.code, e.message));
	}
	const client = await pool.connect();
	await client.query('begin');
	await client.query({ name: 'find', text: 'select name from js where id = $1', values: [7] });
	console.log((await client.query({ name: 'find', text: 'select name from js where id = $1', values: [8] })).rows);
	await client.query('delete from js');
	await client.query('rollback');
	client.release();
	console.log((await pool.query('select count(*) from js')).rows);
	await pool.end();

	const ear = new Client(config);
	await ear.connect();
	const heard = new Promise((done) => ear.on('notification', (n) => done(`${n.channel}: ${n.payload}`)));
	await ear.query('listen house');
	const mouth = new Client(config);
	await mouth.connect();
	await mouth.query("select pg_notify('house', 'to everybody')");
	console.log(await heard);
	await mouth.end();
	await ear.end();
}
main().catch((e) => { console.error(e); process.exit(1); });
