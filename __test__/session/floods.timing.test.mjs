// Servers that send endlessly during authentication, to fill memory: each ends with an error code, in time, with little
// memory.

import assert from 'node:assert/strict';

import { test } from '../helpers/bounded.mjs';
import { IGNORE, USERAUTH_BANNER, USERAUTH_INFO_REQUEST, message } from '../helpers/messages.mjs';
import { MIB } from '../helpers/peers.mjs';
import { memory } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { makeTunnel } from '../helpers/tunnels.mjs';

const READY_TIMEOUT = 1000;
const SLACK = 3000; // ms, for two busy cores
const MOST_ROUNDS = 32;

async function serve(t, options) {
  const server = await Ssh2Server.start(options);
  t.after(() => server.stop());
  return server;
}

/** Asserts that the connect fails, in time and with little memory. */
async function refused(t, login, expected, { onAsked, ...options } = {}) {
  const tunnel = makeTunnel(t, { readyTimeout: READY_TIMEOUT, ...login }, 9, options);
  if (onAsked) tunnel.on('keyboard-interactive', onAsked);
  const before = memory();
  const since = performance.now();
  await assert.rejects(tunnel.promises.connect(), expected);
  assert.ok(performance.now() - since < READY_TIMEOUT + SLACK);
  assert.ok(memory() - before < 32 * MIB);
}

const PROTOCOL = 'ERR_SSH_PROTOCOL';

test('endless banners fail the connect', async (t) => {
  const banner = message(USERAUTH_BANNER, 'Welcome!\r\n'.repeat(1000), '');
  const server = await serve(t, { authenticate: (context, session) => session.flood(banner) });
  await refused(t, server.login, { code: PROTOCOL, message: /too many banners/ });
});

for (const [name, prompts] of [
  ['questions', [{ prompt: 'Code: ', echo: false }]],
  ['rounds without a question', []],
]) {
  test(`endless ${name} fail the connect`, async (t) => {
    let rounds = 0;
    const ask = (context) => {
      if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive']);
      rounds++;
      context.prompt(prompts, () => ask(context));
    };
    const server = await serve(t, { authenticate: ask });
    let asked = 0;
    const onAsked = (...args) => {
      asked++;
      args.at(-1)(['7']);
    };
    const expected = { code: PROTOCOL, message: /too many rounds of prompts/ };
    await refused(t, server.login, expected, { tryKeyboard: true, password: undefined, onAsked });
    assert.ok(rounds <= MOST_ROUNDS + 1 && asked <= MOST_ROUNDS, `${rounds} rounds, asked ${asked} times`);
  });
}

for (const [name, ...parts] of [
  ['four billion questions at once', '', '', '', 0xffff_ffff],
  ['a thousand questions at once', '', '', '', 1000, Buffer.alloc(5000)],
  ['a question that no packet may hold', '', '', '', 1, 'x'.repeat(262_144), Buffer.from([0])],
  ['a question that says that it has 4 GB', '', '', '', 1, 0xffff_ffff],
]) {
  test(name, async (t) => {
    const server = await serve(t, {
      authenticate: (context, session) => {
        if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive']);
        session.send(message(USERAUTH_INFO_REQUEST, ...parts));
      },
    });
    const onAsked = () => assert.fail('it was asked');
    await refused(t, server.login, { code: PROTOCOL }, { tryKeyboard: true, password: undefined, onAsked });
  });
}

test('endless meaningless messages fail the connect', async (t) => {
  const noise = message(IGNORE, 'x'.repeat(1000));
  const server = await serve(t, { authenticate: (context, session) => session.flood(noise) });
  await refused(t, server.login, { code: 'ETIMEDOUT' });
});
