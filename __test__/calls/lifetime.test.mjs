// What keeps a process alive, what lets it exit, and what is left of an unreferenced tunnel.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

const index = JSON.stringify(fileURLToPath(new URL('../../index.js', import.meta.url)));
const options = JSON.stringify({
  host: '127.0.0.1',
  port: 1,
  username: 'user',
  forwardHost: 'localhost',
  forwardPort: 9,
  hostKey: [],
});

function run(program, flags = []) {
  const prelude = `const { SSHTunnel } = require(${index}); const make = () => new SSHTunnel(${options});`;
  return spawnSync(process.execPath, [...flags, '-e', prelude + program], { encoding: 'utf8', timeout: 30_000 });
}

describe('the process', () => {
  for (const [what, program] of Object.entries({
    'that only required the package exits': '',
    'that only made a tunnel exits': 'make();',
    'with a listener and settings exits': `const t = make(); t.on('connectionRequest', () => {}); t.on('close', () => {}); t.setLinger(false);`,
    'with ref() on an idle tunnel exits': 'make().ref();',
    'exits after the calls under way are done': `const t = make(); t.getLinger(() => {}); t.promises.connect().catch(() => {});`,
  })) {
    test(what, () => {
      const { status, signal, stderr } = run(program);
      assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: '' });
    });
  }

  test('waits for pending callbacks and promises, also after unref()', () => {
    const { stdout } = run(`
      const t = make().unref();
      t.getLinger(() => t.getLinger(() => t.promises.setLinger(false).then(() => t.promises.getLinger()).then(console.log)));`);
    assert.equal(stdout, 'false\n');
  });

  test('exits at once on process.exit() with calls pending', () => {
    const { status, stdout } = run(`
      const t = make();
      for (let i = 0; i < 10_000; i++) t.getLinger(() => console.log('called'));
      t.connect(() => console.log('called'));
      process.exit(7);`);
    assert.deepEqual({ status, stdout }, { status: 7, stdout: '' });
  });
});

test('unreferenced tunnels are garbage collected', () => {
  const { stdout, stderr } = run(
    `const seen = [];
    (async () => {
      for (let i = 0; i < 200; i++) {
        const t = make();
        t.on('connectionRequest', () => t.getLinger());
        t.on('disconnected', () => t.connections());
        await t.promises.setLinger(false);
        await t.promises.connect().catch(() => {});
        await new Promise((resolve) => t.getLinger(resolve));
        seen.push(new WeakRef(t));
      }
      let left;
      for (let i = 0; i < 50; i++) {
        await new Promise(setImmediate);
        gc();
        left = seen.filter((ref) => ref.deref() !== undefined).length;
        if (left <= 1) break;
      }
      console.log(left <= 1 ? 'collected' : left + ' left');
    })();`,
    ['--expose-gc'],
  );
  assert.equal(stderr, '');
  assert.equal(stdout, 'collected\n');
});

describe('worker threads', () => {
  const worker = (program) =>
    new Worker(
      `const { parentPort } = require('node:worker_threads');
       const { SSHTunnel } = require(${index}); const make = () => new SSHTunnel(${options}); ${program}`,
      { eval: true },
    );

  test('each has its own tunnel, and ends when it has nothing to do', { timeout: 20_000 }, async (context) => {
    const results = await Promise.all(
      [1, 2, 3, 4].map(
        (n) =>
          new Promise((resolve, reject) => {
            const thread = worker(`
              const t = make();
              t.setIdleTimeout(${n}, () => t.getIdleTimeout((error, value) => parentPort.postMessage(value)));`);
            context.signal.addEventListener('abort', () => thread.terminate());
            let value;
            thread.on('message', (message) => (value = message)).on('error', reject);
            thread.on('exit', (code) => resolve([code, value]));
          }),
      ),
    );
    assert.deepEqual(
      results,
      [1, 2, 3, 4].map((n) => [0, n]),
    );
  });

  test('can be terminated with calls pending, repeatedly', () => {
    // In a process of its own, because a failure here would be a crash.
    const program = `
      const { Worker } = require('node:worker_threads');
      const source = ${JSON.stringify(`
        const { parentPort } = require('node:worker_threads');
        const { SSHTunnel } = require(${index});
        const tunnels = Array.from({ length: 4 }, () => new SSHTunnel(${options}));
        const more = () => { for (const t of tunnels) { t.getLinger(more); t.connect(() => {}); t.promises.startListening().catch(() => {}); } };
        for (let i = 0; i < 50; i++) more();
        parentPort.postMessage('running');`)};
      const one = () => new Promise((resolve, reject) => {
        const thread = new Worker(source, { eval: true });
        thread.once('message', () => thread.terminate()).on('error', reject).on('exit', resolve);
      });
      (async () => {
        for (let round = 0; round < 25; round++) await Promise.all([one(), one(), one(), one()]);
        console.log('done');
      })();`;
    const { status, signal, stdout, stderr } = run(program);
    assert.deepEqual({ status, signal, stdout, stderr }, { status: 0, signal: null, stdout: 'done\n', stderr: '' });
  });
});
