// SPDX-License-Identifier: BSD-2-Clause
// A notebook behind a login: session cookies, a CSRF token in every form, redirects to addresses that nobody can guess. Each instance makes its own.
// node server.js ADDRESS PORT [KEEP-ALIVE-MILLISECONDS [COOKIE]]: the cookie's name, which is connect.sid otherwise.
'use strict';

const crypto = require('crypto');
const express = require('express');
const session = require('express-session');
const {csrfSync} = require('csrf-sync');

const [address, port, keepAlive, cookie = 'connect.sid'] = process.argv.slice(2);

// user1, user2 and so on are people, too.
const known = (user, password) => /^(ann|bob|user[0-9]+)$/.test(user) && password === 'password of ' + user;
const notes = new Map();	// by id: {owner, text, tags}

const {csrfSynchronisedProtection, generateToken} = csrfSync({
	size: 24,
	getTokenFromRequest: req => (req.body && req.body._csrf) || req.headers['x-csrf-token'],
});

const escape = text => String(text).replace(/[&<>"']/g, c => '&#' + c.charCodeAt(0) + ';');

const page = (title, body) => `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>${escape(title)}</title></head>
<body>
<h1>${escape(title)}</h1>
${body}
</body>
</html>
`;

const form = (req, action, fields, button) => `<form method="post" action="${action}">
<input type="hidden" name="_csrf" value="${generateToken(req)}">
${fields}
<button>${button}</button>
</form>`;

const app = express();
app.disable('x-powered-by');
app.use(express.urlencoded({extended: false}), express.json());
app.use(session({name: cookie, secret: crypto.randomBytes(16).toString('hex'), resave: false, saveUninitialized: false, cookie: {httpOnly: true}}));

app.get('/', (req, res) => {
	if (req.session.user)
		return res.redirect('/notes');
	res.send(page('Log in', form(req, '/login',
		'<input name="user" autocomplete="off"><input name="password" type="password">', 'Log in')));
});

app.use(csrfSynchronisedProtection);

app.post('/login', (req, res, next) => {
	const {user, password} = req.body;
	if (!known(user, password))
		return res.status(403).send(page('No', '<p>That is not right.</p>'));
	// A session that somebody else may know is not to become the user's.
	req.session.regenerate(error => {
		if (error)
			return next(error);
		req.session.user = user;
		res.redirect(303, '/notes');
	});
});

app.use((req, res, next) => req.session.user ? next() : res.redirect('/'));

app.get('/notes', (req, res) => {
	const own = [...notes].filter(([, note]) => note.owner === req.session.user);
	const list = own.map(([id, note]) => `<li><a href="/notes/${id}">${escape(note.text)}</a></li>`).join('\n');
	res.send(page('Notes of ' + req.session.user, `<ul id="notes">
${list}
</ul>
${form(req, '/notes', '<input name="text">', 'Write')}
${form(req, '/logout', '', 'Log out')}
<script>
async function write(text) {
	const token = document.querySelector('[name=_csrf]').value;
	const answer = await fetch('/api/notes', {method: 'POST', body: JSON.stringify({text, tags: ['script']}),
		headers: {'Content-Type': 'application/json', 'X-CSRF-Token': token}});
	return answer.json();
}
</script>`));
});

const write = (req, tags) => {
	const id = crypto.randomUUID();
	notes.set(id, {owner: req.session.user, text: req.body.text, tags});
	return id;
};

app.post('/notes', (req, res) => res.redirect(303, '/notes/' + write(req, ['form'])));
app.post('/api/notes', (req, res) => {
	const id = write(req, req.body.tags);
	res.status(201).json({id, links: {self: '/notes/' + id, remove: '/api/remove'}, text: req.body.text, tags: req.body.tags});
});
app.post('/api/remove', (req, res) => res.json({removed: notes.delete(req.body.id)}));

app.get('/notes/:id', (req, res) => {
	const note = notes.get(req.params.id);
	if (!note || note.owner !== req.session.user)
		return res.status(404).send(page('No such note', '<p>It may have been torn out.</p>'));
	res.send(page('Note', `<p class="note">${escape(note.text)}</p>
<p><a href="/notes">all</a>, <a href="/notes/${req.params.id}?share=${crypto.randomBytes(9).toString('base64url')}">share</a></p>
${form(req, `/notes/${req.params.id}/remove`, '', 'Tear out')}`));
});
app.post('/notes/:id/remove', (req, res) => {
	notes.delete(req.params.id);
	res.redirect(303, '/notes');
});

app.post('/logout', (req, res, next) => req.session.destroy(error => error ? next(error) : res.clearCookie(cookie).redirect(303, '/')));

app.use((error, req, res, next) => {	// express knows it by its four arguments
	res.status(error.code === 'EBADCSRFTOKEN' ? 403 : 500).send(page('No', '<p>This form is not from here.</p>'));
});

const server = app.listen(Number(port), address);
if (keepAlive)
	server.keepAliveTimeout = Number(keepAlive);
