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

test('it forwards, reports, and ends well', async (t) => {
  // A home folder with a key and a server that is known: what users have.
  mkdirSync(join(home.path, '.ssh'), { mode: 0o700 });
  writeFileSync(join(home.path, '.ssh', 'id_ed25519'), server.key.privateKey, { mode: 0o600 });
  const known = `[127.0.0.1]:${server.port} ${server.hostKeys[0].publicKey}\n`;
  writeFileSync(join(home.path, '.ssh', 'known_hosts'), known);

  const target = await Target.start(behaviours.echo());
  const args = ['examples/forward.mjs', '127.0.0.1', server.port, '127.0.0.1', target.port];
  const env = { ...process.env, HOME: home.path };
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  t.after(() => {
    child.kill('SIGKILL');
    return target.stop();
  });
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
  const [, port] = await line(/^127\.0\.0\.1:(\d+) -> .*\n/);
  const client = await connect(Number(port));
  await client.send(MIB);
  client.end();
  assertIncludes(await client.ended, { bytes: MIB, sha256: patternHash(MIB), end: 'FIN' });
  await line(/^1: OK, graceful, 1048576 up, 1048576 down$/m);
  child.kill('SIGINT');
  assert.deepEqual(await exit, [0, null]);
  assert.ok(await refuses(Number(port)));
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
