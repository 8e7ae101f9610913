// SPDX-License-Identifier: BSD-2-Clause
// A person at a browser: logs in, writes notes by a form and by a script, tears one out, logs out. Prints what was seen; fails where it is not right.
// node browser.js URL PROFILE-DIRECTORY USER
'use strict';

const assert = require('assert');
const {chromium} = require('playwright-core');

const [url, profile, user] = process.argv.slice(2);

(async () => {
	const browser = await chromium.launchPersistentContext(profile, {
		executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
		headless: true,
		args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
			'--disable-component-update', '--disable-sync', '--disable-dev-shm-usage'],
	});
	const page = browser.pages()[0] || await browser.newPage();
	page.setDefaultTimeout(60000);
	const said = [];
	page.on('response', response => said.push(`${response.status()} ${response.request().method()} ${new URL(response.url()).pathname}`));

	const title = () => page.textContent('h1');
	try {
		await page.goto(url + '/');
		assert.strictEqual(await title(), 'Log in');
		await page.fill('[name=user]', user);
		await page.fill('[name=password]', 'wrong');
		await page.click('button');
		assert.strictEqual(await title(), 'No');

		await page.goto(url + '/');
		await page.fill('[name=user]', user);
		await page.fill('[name=password]', 'password of ' + user);
		await page.click('button');
		assert.strictEqual(await title(), 'Notes of ' + user);
		await page.reload();
		assert.strictEqual(await title(), 'Notes of ' + user);

		for (const text of ['milk & bread', 'a "second" <note>']) {
			await page.fill('[name=text]', text);
			await page.click('text=Write');
			assert.strictEqual(await title(), 'Note');
			assert.strictEqual(await page.textContent('.note'), text);
			await page.click('text=share');
			assert.strictEqual(await page.textContent('.note'), text);
			await page.click('text=all');
		}
		const written = await page.evaluate(() => write('by a script'));
		assert.strictEqual(written.text, 'by a script');
		await page.goto(url + written.links.self);
		assert.strictEqual(await page.textContent('.note'), 'by a script');
		await page.goBack();
		await page.reload();
		assert.deepStrictEqual(await page.locator('#notes a').allTextContents(), ['milk & bread', 'a "second" <note>', 'by a script']);

		await page.click('text=milk');
		await page.click('text=Tear out');
		assert.deepStrictEqual(await page.locator('#notes a').allTextContents(), ['a "second" <note>', 'by a script']);

		await page.click('text=Log out');
		assert.strictEqual(await title(), 'Log in');
		await page.goto(url + '/notes');
		assert.strictEqual(await title(), 'Log in');
		console.log('all right');
	} catch (error) {
		console.log(said.join('\n'));
		console.log(await page.content().catch(() => 'no page'));
		throw error;
	} finally {
		await browser.close();
	}
})().catch(error => {
	console.error(error);
	process.exitCode = 1;
});
