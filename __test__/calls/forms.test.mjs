// The blocking, callback and promise forms of a call: results, order, and the context of callbacks.
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { SSHTunnel, sshtunnel } from '../../index.js';

// Nothing listens on port 1, so every call that needs a session fails.
const options = { host: '127.0.0.1', port: 1, username: 'user', forwardHost: 'localhost', forwardPort: 9, hostKey: [] };
const make = (more) => new SSHTunnel({ ...options, ...more });

/** Runs a program with `tunnel` in scope, in a process of its own. */
function run(program) {
  const index = fileURLToPath(new URL('../../index.js', import.meta.url));
  const prelude = `const { SSHTunnel } = require(${JSON.stringify(index)});
    const tunnel = new SSHTunnel(${JSON.stringify(options)});`;
  return spawnSync(process.execPath, ['-e', prelude + program], { encoding: 'utf8', timeout: 30_000 });
}

test('the class is exported under two names', () => assert.equal(sshtunnel, SSHTunnel));

describe('forms', () => {
  const settings = [
    ['getLinger', 'setLinger', true, false],
    ['getLingerOption', 'setLingerOption', { l_onoff: 0, l_linger: 0 }, { l_onoff: 1, l_linger: 0 }],
    ['getKeepAlive', 'setKeepAlive', false, true],
    ['getIdleTimeout', 'setIdleTimeout', 0, 2 ** 31 - 1],
  ];
  for (const [get, set, initial, changed] of settings) {
    test(`${get} and ${set}`, async () => {
      const tunnel = make();
      assert.deepEqual(tunnel[get](), initial);
      assert.equal(tunnel[set](changed), undefined);
      assert.deepEqual(tunnel[get](), changed);

      const heard = [];
      await new Promise((resolve) => {
        assert.equal(
          tunnel[set](initial, (...args) => heard.push(args)),
          undefined,
        );
        assert.equal(
          tunnel[get]((...args) => resolve(heard.push(args))),
          undefined,
        );
        assert.deepEqual(heard, [], 'never synchronously');
      });
      assert.deepEqual(heard, [
        [null, undefined],
        [null, initial],
      ]);

      assert.equal(await tunnel.promises[set](changed), undefined);
      assert.deepEqual(await tunnel.promises[get](), changed);
    });
  }

  test('a failed operation gives the same error in the blocking, callback and promise forms', async () => {
    const tunnel = make();
    const isFailure = (error) => error instanceof Error && /^E/.test(error.code) && error.message.length > 0;
    assert.throws(() => tunnel.connect(), isFailure);
    const args = await new Promise((resolve) => tunnel.connect((...args) => resolve(args)));
    assert.equal(args.length, 1);
    assert.ok(isFailure(args[0]));
    await assert.rejects(tunnel.promises.connect(), isFailure);
    await assert.rejects(tunnel.promises.disconnect(5), isFailure);
  });
});

describe('order', () => {
  test('100,000 mixed calls take effect and call back in call order', async () => {
    const tunnel = make();
    const total = 100_000;
    const called = [];
    const pending = [];
    let expected = 0;
    let callbacks = 0;
    // A fixed sequence that mixes the forms without a pattern the code could follow.
    let seed = 1;
    const random = (below) => {
      seed = (seed * 48271) % 2147483647;
      return seed % below;
    };
    let wrong = 0;
    for (let i = 0; i < total; i++) {
      const now = expected;
      switch (random(6)) {
        case 0:
          tunnel.setIdleTimeout((expected = i), () => called.push(i));
          callbacks++;
          break;
        case 1:
          tunnel.getIdleTimeout((error, seen) => {
            called.push(i);
            if (seen !== now) wrong++;
          });
          callbacks++;
          break;
        case 2:
          tunnel.setIdleTimeout((expected = i));
          break;
        case 3:
          if (tunnel.getIdleTimeout() !== now) wrong++;
          break;
        case 4:
          pending.push(tunnel.promises.setIdleTimeout((expected = i)));
          break;
        case 5:
          pending.push(tunnel.promises.getIdleTimeout().then((seen) => (wrong += Number(seen !== now))));
          break;
      }
    }
    assert.equal(tunnel.getIdleTimeout(), expected);
    await new Promise((resolve) => tunnel.getLinger(resolve));
    await Promise.all(pending);
    assert.equal(wrong, 0);
    assert.equal(called.length, callbacks);
    assert.ok(
      called.every((i, at) => at === 0 || called[at - 1] < i),
      'callbacks in call order',
    );
  });

  test('a fast call does not overtake a slow one', async () => {
    const tunnel = make();
    const order = [];
    await new Promise((resolve) => {
      tunnel.connect(() => order.push('connect'));
      tunnel.setLinger(false, () => order.push('setLinger'));
      tunnel.startListening(() => order.push('startListening'));
      tunnel.getLinger((error, linger) => resolve(order.push(linger)));
      assert.equal(tunnel.getLinger(), false, 'a blocking call sees what is queued');
    });
    assert.deepEqual(order, ['connect', 'setLinger', 'startListening', false]);
  });
});

describe('context of callbacks', () => {
  test('ticks and microtasks run between callbacks', async () => {
    const tunnel = make();
    const order = [];
    await new Promise((resolve) => {
      for (const n of [1, 2, 3]) {
        tunnel.getLinger(() => {
          order.push(n);
          process.nextTick(() => order.push(`tick ${n}`));
          Promise.resolve().then(() => order.push(`microtask ${n}`));
        });
      }
      tunnel.getLinger(resolve);
    });
    assert.deepEqual(
      order,
      [1, 2, 3].flatMap((n) => [n, `tick ${n}`, `microtask ${n}`]),
    );
  });

  test('a callback keeps its AsyncLocalStorage context', async () => {
    const storage = new AsyncLocalStorage();
    const tunnel = make();
    const seen = await Promise.all(
      [1, 2, 3].map((n) =>
        storage.run(n, () => new Promise((resolve) => tunnel.getLinger(() => resolve(storage.getStore())))),
      ),
    );
    assert.deepEqual(seen, [1, 2, 3]);
    assert.equal(await storage.run(4, async () => (await tunnel.promises.getLinger(), storage.getStore())), 4);
  });

  test('an exception in a callback reaches uncaughtException, and later callbacks still run', () => {
    const { status, stdout, stderr } = run(`
      const thrown = [{ mine: true }, 'text', new Error('mine')];
      const caught = [];
      process.on('uncaughtException', (error) => caught.push(error));
      for (const value of thrown) tunnel.getLinger(() => { throw value; });
      tunnel.getLinger(() => {
        console.log(caught.length === 3 && thrown.every((value, i) => value === caught[i]));
      });`);
    assert.equal(stderr, '');
    assert.equal(stdout, 'true\n');
    assert.equal(status, 0);
  });

  test('an exception in a callback without a handler ends the process', () => {
    const { status, stderr } = run(`tunnel.getLinger(() => { throw new Error('nobody caught me'); });`);
    assert.match(stderr, /Error: nobody caught me/);
    assert.notEqual(status, 0);
  });
});

describe('deadlock', () => {
  test('a blocking connect() that needs hostVerifier fails with ERR_TUNNEL_WOULD_DEADLOCK', async () => {
    let asked = 0;
    const tunnel = make({ hostVerifier: () => ++asked > 0 });
    for (const name of ['connect', 'startListening']) {
      assert.throws(
        () => tunnel[name](),
        (error) => {
          assert.equal(error.code, 'ERR_TUNNEL_WOULD_DEADLOCK');
          assert.match(error.message, /hostVerifier/);
          assert.match(error.message, /callback/);
          return true;
        },
      );
      const error = await new Promise((resolve) => tunnel[name](resolve));
      assert.notEqual(error?.code, 'ERR_TUNNEL_WOULD_DEADLOCK');
    }
    assert.equal(tunnel.listening, false);
    assert.equal(asked, 0);
  });
});
