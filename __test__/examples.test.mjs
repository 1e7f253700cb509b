// What README.md and the demonstration promise.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';

import { test } from './helpers/bounded.mjs';
import { temporaryFolder } from './helpers/keys.mjs';
import { MIB, Target, behaviours, connect, patternHash, refuses } from './helpers/peers.mjs';
import { ROOT, run } from './helpers/process.mjs';
import { Sshd } from './helpers/sshd.mjs';
import { assertIncludes } from './helpers/tunnels.mjs';

const server = await Sshd.start();
const home = temporaryFolder('home');
after(() => (home.remove(), server.stop()));

test('the program in README.md is the one in examples/', () => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const program = readFileSync(join(ROOT, 'examples', 'forward.mjs'), 'utf8');
  const [, shown] = /```js\n(.*?)```/s.exec(readme);
  assert.equal(shown, program);
});

/** A home folder with a key and servers that are known: what users have. */
function furnish(servers) {
  mkdirSync(join(home.path, '.ssh'), { mode: 0o700, recursive: true });
  writeFileSync(join(home.path, '.ssh', 'id_ed25519'), server.key.privateKey, { mode: 0o600 });
  const known = servers.map(({ port, hostKeys }) => `[127.0.0.1]:${port} ${hostKeys[0].publicKey}\n`);
  writeFileSync(join(home.path, '.ssh', 'known_hosts'), known.join(''));
}

/** Runs an example until the test ends; `line` waits for one that it prints. */
function start(t, args) {
  const env = { ...process.env, HOME: home.path };
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  t.after(() => child.kill('SIGKILL'));
  let printed = '';
  child.stdout.setEncoding('utf8');
  const line = async (pattern) => {
    for (let match; !(match = pattern.exec(printed)); ) {
      const more = await Promise.race([once(child.stdout, 'data'), exit]);
      if (typeof more[0] !== 'string') assert.fail(`it ended with ${more}:\n${printed}`);
      printed += more[0];
    }
    return pattern.exec(printed);
  };
  return { child, exit, line };
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  test(`it forwards, reports, and ends well on ${signal}`, async (t) => {
    furnish([server]);
    const target = await Target.start(behaviours.echo());
    t.after(() => target.stop());
    const args = ['examples/forward.mjs', '127.0.0.1', server.port, '127.0.0.1', target.port];
    const { child, exit, line } = start(t, args);
    const [, port] = await line(/^127\.0\.0\.1:(\d+) -> .*\n/);
    const [client, other] = [await connect(Number(port)), await connect(Number(port))];
    await client.send(MIB);
    client.end();
    assertIncludes(await client.ended, { bytes: MIB, sha256: patternHash(MIB), end: 'FIN' });
    await line(/^\d: OK, graceful, 1048576 up, 1048576 down$/m);
    await other.send(MIB);
    child.kill(signal);
    await other.received(MIB);
    other.end();
    await line(/^[01] connections finished, 0 were cut$/m);
    assert.deepEqual(await exit, [0, null]);
    assert.ok(await refuses(Number(port)));
  });
}

test('through jump hosts', async (t) => {
  const gateway = await Sshd.start();
  gateway.authorize(server.key.publicKey);
  furnish([gateway, server]);
  const target = await Target.start(behaviours.echo());
  t.after(() => Promise.all([gateway.stop(), target.stop()]));
  const places = [gateway, server].map(({ port }) => `127.0.0.1:${port}`);
  const { child, exit, line } = start(t, ['examples/jump.mjs', '127.0.0.1', target.port, ...places]);
  const [, port] = await line(/^127\.0\.0\.1:(\d+) -> .*\n/);
  const client = await connect(Number(port));
  await client.send(MIB);
  client.end();
  assertIncludes(await client.ended, { bytes: MIB, sha256: patternHash(MIB), end: 'FIN' });
  child.kill('SIGINT');
  assert.deepEqual(await exit, [0, null]);
});

test('the demonstration ends well, twice', async () => {
  for (let turn = 0; turn < 2; turn++) {
    const { code, late, stdout, stderr } = await run(process.execPath, ['examples/demo.mjs'], {
      cwd: ROOT,
      timeout: 15_000,
    });
    assert.deepEqual({ code, late, stderr }, { code: 0, late: false, stderr: '' }, stdout);
    assert.match(stdout, /SHA-256 at both ends is the same/);
    assert.match(stdout, /graceful .* FIN /);
    assert.match(stdout, /hard .* ECONNRESET /);
    for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line);
  }
});
