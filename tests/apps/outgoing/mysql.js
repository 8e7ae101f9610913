// SPDX-License-Identifier: BSD-2-Clause
// mysql.js HOST PORT COUNT [TAMPER]: one connection to a database, over which it writes COUNT rows and reads them back.
"use strict";
const mysql = require("mysql");
const [host, port, count, tamper] = process.argv.slice(2);

const connection = mysql.createConnection({ host, port: Number(port), user: "app", password: "secret", database: "shop", connectTimeout: 60000 });
const query = (sql, values) => new Promise((resolve, reject) =>
	connection.query(sql, values, (error, rows) => (error ? reject(error) : resolve(rows))));

(async () => {
	for (let i = 1; i <= Number(count); i++)
		await query("INSERT INTO orders (id, item) VALUES (?, ?)", [i, tamper && i === 3 ? "everything" : `item ${i}`]);
	const rows = await query("SELECT id, item FROM orders ORDER BY id");
	console.log(`rows ${rows.length} last ${rows[rows.length - 1].item}`);
	connection.end();
})().catch((error) => {
	console.log(`error ${error.code}`);
	process.exit(1);
});
