// SPDX-License-Identifier: BSD-2-Clause
// Talks to an echo: texts, bytes, messages in fragments and in one go, pings, a close, several connections at once. Prints "all right".
// node client.js URL CONNECTIONS [SPOILT]
// With SPOILT, that text is sent at the end, and the connection has to be cut without an answer to it.
'use strict';

const assert = require('assert');
const crypto = require('crypto');
const {once} = require('events');
const WebSocket = require('ws');

const [url, connections, spoilt] = process.argv.slice(2);

const talk = async n => {
	const socket = new WebSocket(url, {perMessageDeflate: false});
	await once(socket, 'open');
	const answer = async (message, options) => {
		const answered = once(socket, 'message');
		socket.send(message, options);
		const [data, binary] = await answered;
		assert.strictEqual(binary, typeof message !== 'string');
		assert.ok(Buffer.from(message).equals(data), 'another message came back');
	};
	for (let i = 0; i < 20; i++)
		await answer(`message ${i} of ${n}: ` + 'äöü '.repeat(i));
	for (const length of [0, 1, 125, 126, 127, 65535, 65536, 1 << 20])
		await answer(crypto.randomBytes(length));
	await answer('x'.repeat(200000));

	// Many on their way at once, in their order.
	const got = [];
	const all = new Promise(resolve => {
		socket.on('message', data => got.push(data.toString()) === 100 && resolve());
	});
	for (let i = 0; i < 100; i++)
		socket.send('number ' + i);
	await all;
	assert.deepStrictEqual(got, Array.from({length: 100}, (_, i) => 'number ' + i));
	socket.removeAllListeners('message');

	// In three frames, with a ping in between.
	const whole = once(socket, 'message');
	const pong = once(socket, 'pong');
	socket.send('one ', {fin: false});
	socket.ping('are you there');
	socket.send('two ', {fin: false});
	socket.send('three', {fin: true});
	assert.strictEqual((await pong)[0].toString(), 'are you there');
	assert.strictEqual((await whole)[0].toString(), 'one two three');

	const closed = once(socket, 'close');
	if (spoilt) {
		socket.on('message', data => {
			console.log('came back: ' + data);
			process.exitCode = 1;
		});
		socket.on('error', () => {});
		socket.send(spoilt);
		const [code] = await closed;
		assert.strictEqual(code, 1006);	// without a closing frame
		return;
	}
	socket.close(1000);
	const [code] = await closed;
	assert.strictEqual(code, 1000);
};

Promise.all(Array.from({length: Number(connections)}, (_, n) => talk(n))).then(() => console.log('all right'), error => {
	console.error(error);
	process.exit(1);
});
