// SPDX-License-Identifier: BSD-2-Clause
// Echoes WebSocket messages, by one of three libraries. node server.js LIBRARY ADDRESS PORT [SPOILT]
// A message that is SPOILT comes back in capitals.
'use strict';

const http = require('http');

const [library, address, port, spoilt] = process.argv.slice(2);
const server = http.createServer((req, res) => {
	res.writeHead(426, {'Content-Type': 'text/plain', 'Content-Length': 17});
	res.end('WebSockets only.\n');
});
const back = text => text === spoilt ? text.toUpperCase() : text;

const echo = {
	ws() {
		const {WebSocketServer} = require('ws');
		new WebSocketServer({server}).on('connection', socket => {
			socket.on('error', () => socket.terminate());
			socket.on('message', (data, binary) => socket.send(binary ? data : back(data.toString()), {binary}));
		});
	},
	'faye-websocket'() {
		const WebSocket = require('faye-websocket');
		server.on('upgrade', (req, socket, head) => {
			const ws = new WebSocket(req, socket, head);
			ws.on('message', event => ws.send(typeof event.data === 'string' ? back(event.data) : event.data));
		});
	},
	websocket() {
		const {server: Server} = require('websocket');
		new Server({httpServer: server, autoAcceptConnections: true, fragmentOutgoingMessages: false,
			keepalive: false, maxReceivedFrameSize: 1 << 22, maxReceivedMessageSize: 1 << 22}).on('connect', connection => {
			connection.on('message', message => message.type === 'utf8' ?
				connection.sendUTF(back(message.utf8Data)) : connection.sendBytes(message.binaryData));
		});
	},
};

echo[library]();
server.listen(Number(port), address);
