// `sshtunnel --web`: the page in Chromium.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { NO_CHROMIUM, driver, startChromium } from '../helpers/chromium.mjs';
import { Setting, echo } from '../helpers/cli.mjs';
import { connect, exchange } from '../helpers/peers.mjs';
import { until } from '../helpers/process.mjs';
import { ask5 } from '../helpers/socks.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { partsOf } from '../helpers/web.mjs';

const browser = await startChromium();
const BROWSER = { skip: browser === null && NO_CHROMIUM, timeout: 120_000 };
const server = await Sshd.start();
const setting = new Setting(server);
after(() => Promise.all([browser?.close(), server.stop(), setting.remove()]));

/** A tab with the page of a command, and everything that the browser says of it. */
class Tab {
  /** Errors and warnings of the console, violations of the policy, and failures of scripts. */
  complaints = [];
  requests = [];

  static async open(t, url, { width = 1280, scheme = 'light' } = {}) {
    const tab = new Tab();
    const context = await browser.createBrowserContext();
    t.after(() => context.close());
    const page = await context.newPage();
    tab.page = page;
    page.on('console', (message) => tab.complaints.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => tab.complaints.push(error.stack));
    page.on('request', (request) => tab.requests.push(request.url()));
    await page.evaluateOnNewDocument(() =>
      addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
        console.error(`${violatedDirective} ${blockedURI}`),
      ),
    );
    await page.setViewport({ width, height: 800 });
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await page.goto(url);
    return tab;
  }

  /** Waits until a function of the page gives a true value, and returns it. */
  async sees(look, ...args) {
    let value;
    await until(async () => (value = await this.page.evaluate(look, ...args)));
    return value;
  }

  /** Waits until an element has a text that contains this one. */
  text(selector, part) {
    return this.sees(
      (query, words) => {
        const found = document.querySelector(query)?.textContent ?? '';
        return found.includes(words) && found;
      },
      selector,
      part,
    );
  }

  /** Waits for this number of rows. */
  rows(table, count) {
    return this.sees((id, expected) => document.querySelectorAll(`#${id} tbody tr`).length === expected, table, count);
  }

  /** The texts of a column. */
  column(table, label) {
    return this.page.evaluate(
      (id, name) => [...document.querySelectorAll(`#${id} tbody [data-label="${name}"]`)].map((it) => it.textContent),
      table,
      label,
    );
  }

  /** The name of the element with the focus, as a screen reader says it. */
  focused() {
    return this.page.evaluate(() => {
      const { activeElement } = document;
      return (
        activeElement.getAttribute('aria-label') ??
        activeElement.labels?.[0]?.textContent ??
        activeElement.textContent.trim()
      );
    });
  }

  /** Presses Tab until the focus is on the element of this name. */
  async tabTo(name) {
    for (let steps = 0; (await this.focused()) !== name; steps++) {
      assert.ok(steps < 100, `the key Tab does not lead to ${name}`);
      await this.page.keyboard.press('Tab');
    }
  }

  press(key) {
    return this.page.keyboard.press(key);
  }
}

/** The command with its page, and a forward to an echo. */
async function start(t, ...args) {
  const target = await echo(t);
  const child = setting.start(t, ['--json', '--web', '0', '-L', `127.0.0.1:0:127.0.0.1:${target.port}`, ...args]);
  const { url } = await child.report('web');
  const { localPort } = await child.report('listening');
  /** A connection through the tunnel; its number is one more than that of the last one. */
  const open = async () => {
    const client = await connect(localPort);
    t.after(() => client.socket.destroy());
    await exchange(client);
    return client;
  };
  return { child, url, target, localPort, open };
}

test('it loads without complaints and from its own origin only, and hides its token', BROWSER, async (t) => {
  const { url, open, localPort } = await start(t);
  const { origin, token } = partsOf(url);
  await open();
  const tab = await Tab.open(t, url);
  await tab.text('#state', 'Connected');
  await tab.rows('connections', 1);
  assert.match(await tab.page.title(), /^sshtunnel \S+@127\.0\.0\.1:\d+$/);
  assert.equal(tab.page.url(), `${origin}/`);
  assert.equal(await tab.page.evaluate(() => history.length), 2);
  assert.ok(!(await tab.page.content()).includes(token));
  assert.match(await tab.text('#forwards tbody th', String(localPort)), /^-L 127\.0\.0\.1:\d+ → 127\.0\.0\.1:\d+/);
  // As it has the token in its storage, it can be loaded again.
  await tab.page.reload();
  await tab.rows('connections', 1);
  assert.ok(tab.requests.length > 10);
  for (const request of tab.requests) assert.equal(new URL(request).origin, origin);
  for (const request of tab.requests.slice(1)) assert.ok(!request.includes(token), request);
  assert.deepEqual(tab.complaints, []);
});

test('connections and their ends are shown as they come', BROWSER, async (t) => {
  const { url, open } = await start(t);
  const tab = await Tab.open(t, url);
  await tab.text('#connections + .empty', 'No open connections.');
  const first = await open();
  const second = await open();
  await tab.rows('connections', 2);
  assert.deepEqual(await tab.column('connections', 'From'), [
    `127.0.0.1:${first.socket.localPort}`,
    `127.0.0.1:${second.socket.localPort}`,
  ]);
  await tab.text('#connections tbody', '1.0 KiB');
  assert.equal(await tab.text('#open', '2'), '2');
  first.end();
  await first.ended;
  second.reset();
  await tab.rows('ends', 2);
  await tab.rows('connections', 0);
  const ends = await tab.column('ends', 'How it ended');
  assert.match(
    ends.find((text) => text.startsWith('clean')),
    /^clean .* \(OK\)$/,
  );
  assert.match(
    ends.find((text) => text.startsWith('cut')),
    /^cut .* \(ECONNRESET\)$/,
  );
  assert.equal(await tab.text('#cut', '1'), '1');
  assert.deepEqual(tab.complaints, []);
});

test('connections are closed and reset by keys alone', BROWSER, async (t) => {
  const { url, open } = await start(t);
  const [first, second, third] = [await open(), await open(), await open()];
  const tab = await Tab.open(t, url);
  await tab.rows('connections', 3);
  await tab.tabTo('Close connection 1');
  await tab.press('Enter');
  assert.equal((await first.ended).end, 'FIN');
  first.end();
  await tab.text('#result', 'Connection 1 is closing.');
  // Its row stays until the focus leaves it.
  await tab.sees(() => document.activeElement.closest('tr.gone') !== null);
  assert.equal(await tab.focused(), 'Close connection 1');
  await tab.tabTo('Reset connection 2');
  await tab.rows('connections', 2);

  await tab.press('Space');
  const dialog = () => tab.page.evaluate(() => document.querySelector('dialog').open);
  assert.equal(await dialog(), true);
  assert.equal(await tab.focused(), 'Cancel');
  assert.match(
    await tab.text('#confirm-text', 'both ends'),
    new RegExp(`^127\\.0\\.0\\.1:${second.socket.localPort} → `),
  );
  await tab.press('Escape');
  assert.deepEqual([await dialog(), await tab.focused()], [false, 'Reset connection 2']);
  await tab.press('Enter');
  await tab.press('Enter');
  assert.deepEqual([await dialog(), await tab.focused()], [false, 'Reset connection 2']);
  await exchange(second);
  await tab.press('Enter');
  await tab.tabTo('Reset');
  await tab.press('Enter');
  assert.equal((await second.ended).end, 'ECONNRESET');
  await tab.text('#result', 'Connection 2 was reset.');
  assert.equal(await tab.focused(), 'Reset connection 2');
  await exchange(third);
  assert.deepEqual(tab.complaints, []);
});

test('rows are changed in place: focus and what is under the pointer stay', BROWSER, async (t) => {
  const { url, open } = await start(t);
  await open();
  const second = await open();
  const tab = await Tab.open(t, url);
  await tab.rows('connections', 2);
  await tab.page.evaluate(() => {
    window.row = document.querySelectorAll('#connections tbody tr')[1];
    window.row.querySelector('.close').focus();
    window.blurs = 0;
    window.row.addEventListener('focusout', () => (window.blurs += 1));
  });
  // The latest first: the others are moved around the row with the focus.
  for (let count = 0; count < 3; count++) await open();
  await tab.rows('connections', 5);
  await tab.page.evaluate(() => {
    const [heading] = document.querySelectorAll('#connections thead button');
    heading.dispatchEvent(new MouseEvent('click'));
  });
  assert.deepEqual(await tab.column('connections', 'No.'), ['5', '4', '3', '2', '1']);
  assert.equal(await tab.focused(), 'Close connection 2');
  assert.deepEqual(await tab.page.evaluate(() => [window.row.isConnected, window.row.sectionRowIndex, window.blurs]), [
    true,
    3,
    0,
  ]);
  // Under the pointer, even a connection that has ended keeps its row.
  await tab.page.evaluate(() => document.activeElement.blur());
  const row = await tab.page.$('#connections tbody tr:nth-child(4)');
  await row.hover();
  second.end();
  await second.ended;
  await tab.sees(() => window.row.classList.contains('gone'));
  assert.equal(await tab.page.evaluate(() => window.row.sectionRowIndex), 3);
  await tab.page.mouse.move(1, 1);
  await tab.rows('connections', 4);
});

test('connections are sorted and filtered', BROWSER, async (t) => {
  const { url, open } = await start(t);
  const clients = [];
  for (let count = 0; count < 12; count++) clients.push(await open());
  await exchange(clients[4], 100_000);
  const tab = await Tab.open(t, url);
  await tab.rows('connections', 12);
  const first = Array.from({ length: 12 }, (_, at) => String(at + 1));
  assert.deepEqual(await tab.column('connections', 'No.'), first);
  const sort = () =>
    tab.page.evaluate(() =>
      [...document.querySelectorAll('#connections [aria-sort]')].map((it) => [
        it.textContent,
        it.getAttribute('aria-sort'),
      ]),
    );
  assert.deepEqual(await sort(), [['No.', 'ascending']]);
  // The table of forwards has such a button, too.
  await tab.page.focus('#filter');
  await tab.tabTo('Up');
  await tab.press('Enter');
  assert.deepEqual(await sort(), [['Up', 'descending']]);
  await tab.sees(() => document.querySelector('#connections tbody .id').textContent === '5');
  await tab.press('Enter');
  assert.deepEqual(await sort(), [['Up', 'ascending']]);
  await tab.sees(() => document.querySelector('#connections tbody tr:last-child .id').textContent === '5');

  await tab.page.type('#filter', String(clients[7].socket.localPort));
  await tab.rows('connections', 1);
  assert.deepEqual(await tab.column('connections', 'No.'), ['8']);
  await tab.text('#filtered', '1 of 12');
  await tab.page.type('#filter', ' nothing');
  await tab.text('#connections + .empty', 'No open connections.');
  await tab.page.$eval('#filter', (input) => {
    input.value = '';
    input.dispatchEvent(new Event('input'));
  });
  await tab.rows('connections', 12);
});

test('it has names, contrast and room for everybody, in dark and light, wide and narrow', BROWSER, async (t) => {
  const { url, open } = await start(t, '-v', '-D', '127.0.0.1:0');
  await open();
  const reset = await open();
  reset.reset();
  const axe = driver('axe-core');
  for (const scheme of ['light', 'dark'])
    for (const width of [1280, 360]) {
      const tab = await Tab.open(t, url, { scheme, width });
      await tab.rows('connections', 1);
      await tab.rows('ends', 1);
      await tab.text('#messages tbody', 'DEBUG1');
      assert.deepEqual(tab.complaints, []);
      const size = await tab.page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(size <= width, `${size} columns of pixels in ${width}`);
      await tab.page.evaluate(axe.source);
      const { violations, incomplete } = await tab.page.evaluate(() =>
        window.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }),
      );
      const told = ({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)}`;
      assert.deepEqual([...violations, ...incomplete].map(told), [], `${scheme}, ${width}`);
      // The tables are tables, also where their rows look like cards.
      const tree = await tab.page.createCDPSession().then((session) => session.send('Accessibility.getFullAXTree'));
      const nodes = tree.nodes.filter(({ ignored }) => !ignored);
      const named = (role) => nodes.filter((node) => node.role?.value === role).map(({ name }) => name?.value ?? '');
      assert.equal(named('table').length, 4);
      assert.equal(named('rowheader').length >= 4, true);
      for (const role of ['table', 'button', 'searchbox', 'columnheader', 'rowheader', 'heading', 'main'])
        for (const name of named(role)) assert.notEqual(name || role === 'main', '', role);
      assert.ok(named('button').includes('Reset connection 1'));
      const [ground, text] = await tab.page.evaluate(() => {
        const { backgroundColor, color } = getComputedStyle(document.body);
        return [backgroundColor, color].map((it) => Number(/\d+/.exec(it)[0]));
      });
      assert.equal(ground < text, scheme === 'dark');
    }
});

test('nothing is cut off at any width', BROWSER, async (t) => {
  const { url, open } = await start(t, '-v', '-D', '127.0.0.1:0');
  await open();
  (await open()).reset();
  const tab = await Tab.open(t, url);
  await tab.rows('connections', 1);
  await tab.rows('ends', 1);
  for (const width of [360, 660, 661, 780, 781, 960, 961, 1080, 1199, 1200, 1440, 1920]) {
    await tab.page.setViewport({ width, height: 800 });
    const cut = await tab.page.evaluate(() => {
      // As long as they can be.
      document.getElementById('lost').textContent = '99.9 MiB';
      for (const id of ['up', 'down']) document.getElementById(id).textContent = '99.9 MiB/s';
      const all = [document.documentElement, ...document.querySelectorAll('.totals > div, section, tbody :is(td, th)')];
      return all.filter((it) => it.scrollWidth > it.clientWidth + 1).map((it) => it.outerHTML);
    });
    assert.deepEqual(cut, [], `${width}`);
  }
});

test('what a screen reader is told are states, and neither times nor rates', BROWSER, async (t) => {
  const { url, open } = await start(t, '-o', 'Reconnect=yes');
  const tab = await Tab.open(t, url);
  await tab.text('#announcement', 'Connected to ');
  const live = await tab.page.evaluate(() =>
    [...document.querySelectorAll('[aria-live], [role=status], [role=alert], output')].map(({ id }) => id),
  );
  assert.deepEqual(live, ['announcement', 'result']);
  await tab.page.evaluate(() => {
    window.told = [];
    new MutationObserver(() => window.told.push(document.getElementById('announcement').textContent)).observe(
      document.getElementById('announcement'),
      { childList: true, characterData: true, subtree: true },
    );
  });
  const client = await open();
  server.killSessions();
  await client.ended;
  await tab.text('#announcement', 'Reconnecting');
  await tab.text('#announcement', 'Connected to ');
  await tab.rows('ends', 1);
  const told = await tab.page.evaluate(() => window.told);
  assert.equal(told.length, 2, told.join('\n'));
  assert.match(
    await tab.text('#messages tbody', 'closed by remote host'),
    /Connection to 127\.0\.0\.1 closed by remote host\./,
  );
});

test('it counts down to the next attempt to reconnect', BROWSER, async (t) => {
  const own = await Sshd.start();
  t.after(() => own.stop());
  const here = new Setting(own);
  t.after(() => here.remove());
  const child = here.start(t, ['--json', '--web', '0', '-D', '127.0.0.1:0', '-o', 'Reconnect=yes']);
  const tab = await Tab.open(t, (await child.report('web')).url);
  await tab.text('#state', 'Connected');
  await own.halt();
  await tab.text('#state', 'Reconnecting');
  assert.match(await tab.text('#since', 'attempt'), /^\d\d:\d\d:\d\d, attempt \d+ (in \d+ s|now)$/);
  await tab.text('#since', 'attempt 3');
  assert.match(await tab.page.title(), /^Reconnecting: sshtunnel /);
  assert.equal(await tab.page.$eval('#session', ({ dataset }) => dataset.state), 'reconnecting');
});

test('it says that the command closes and that it has ended, and keeps the last state', BROWSER, async (t) => {
  const { child, url, open } = await start(t);
  const client = await open();
  const tab = await Tab.open(t, url);
  await tab.rows('connections', 1);
  child.signal('SIGTERM');
  await tab.text('#state', 'Closing');
  await tab.text('#since', 'connections may finish');
  client.end();
  assert.equal(await child.exit, 0);
  await tab.text('#state', 'Ended');
  await tab.text('#notice', 'The command has ended. This is its last state.');
  await tab.text('#announcement', 'Ended');
  await tab.rows('ends', 1);
  await tab.rows('connections', 0);
  assert.match(await tab.page.title(), /^Ended: sshtunnel /);
  const { length } = tab.requests;
  await tab.page.bringToFront();
  assert.equal(tab.requests.length, length);
  assert.deepEqual(tab.complaints, []);
});

test('it says that a command which was killed does not answer', BROWSER, async (t) => {
  const { child, url, open } = await start(t);
  await open();
  const tab = await Tab.open(t, url);
  await tab.rows('connections', 1);
  child.signal('SIGKILL');
  await tab.text('#state', 'No answer');
  await tab.text('#notice', 'The command does not answer: it may have ended.');
  await tab.text('#since', 'asked again in');
  await tab.rows('connections', 1);
  // The action of a button fails, and says so.
  await tab.page.click('#connections .close');
  await tab.text('#result', 'Connection 1: ');
});

test('it says what to do without a token, or with that of another run', BROWSER, async (t) => {
  const { url } = await start(t);
  const { origin, token } = partsOf(url);
  const none = await Tab.open(t, `${origin}/`);
  await none.text('#notice', 'The token is missing: open the address that the command has printed.');
  assert.deepEqual(none.complaints, []);
  assert.equal(await none.page.$eval('#main', ({ hidden }) => hidden), true);
  // The right address in the same tab.
  await none.page.evaluate((hash) => (location.hash = hash), `token=${token}`);
  await none.text('#state', 'Connected');
  assert.equal(none.page.url(), `${origin}/`);
  const wrong = await Tab.open(t, `${origin}/#token=${'A'.repeat(43)}`);
  await wrong.text('#notice', 'The token of this address is not that of the command');
  await wrong.text('#state', 'No access');
  assert.equal(await wrong.page.evaluate(() => sessionStorage.length), 0);
});

test('texts of servers and clients are texts', BROWSER, async (t) => {
  const markup = '<img src=x onerror=document.title=1><b>x</b>';
  const banner = setting.file('banner', `${markup}\n`);
  const own = await Sshd.start({ config: [`Banner ${banner}`] });
  t.after(() => own.stop());
  const here = new Setting(own);
  t.after(() => here.remove());
  const child = here.start(t, ['--json', '--web', '0', '-D', '127.0.0.1:0']);
  const tab = await Tab.open(t, (await child.report('web')).url);
  const { localPort } = await child.report('listening');
  await tab.text('#messages tbody', markup);
  const { peer } = await ask5(localPort, '<b>x</b>', 80, { name: true });
  peer.socket.destroy();
  await tab.rows('ends', 1);
  assert.equal(await tab.page.evaluate(() => document.querySelectorAll('table b, table img').length), 0);
  assert.match(await tab.page.title(), /^sshtunnel /);
  assert.deepEqual(tab.complaints, []);
});

test('many connections are shown in portions', BROWSER, async (t) => {
  const { url, localPort } = await start(t);
  const clients = await Promise.all(Array.from({ length: 300 }, () => connect(localPort)));
  t.after(() => clients.forEach(({ socket }) => socket.destroy()));
  const tab = await Tab.open(t, url);
  await tab.text('#open', '300');
  await tab.rows('connections', 100);
  const more = '#connections ~ .more';
  await tab.text(more, 'Show 100 of 200 more');
  await tab.page.click(more);
  await tab.rows('connections', 200);
  await tab.page.click(more);
  await tab.rows('connections', 300);
  assert.equal(await tab.page.$eval(more, ({ hidden }) => hidden), true);
});
