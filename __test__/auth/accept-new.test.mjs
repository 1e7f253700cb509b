// strictHostKeyChecking: 'accept-new': unknown host keys are accepted, written to known_hosts, and known from then on.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { keygen, makeKey } from '../helpers/keys.mjs';
import { Child } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { KnownHosts, connectOnce as connectOnceTo } from '../helpers/trust.mjs';

const server = await Sshd.start();
const files = new KnownHosts();
after(async () => {
  files.remove();
  await server.stop();
});

const [{ publicKey, fingerprint }] = server.hostKeys;
const otherKey = makeKey(join(files.path, 'otherKey'));
const LINE = `${server.address} ${publicKey.split(' ', 2).join(' ')}\n`;
const REFUSED = { code: 'ERR_SSH_HOST_KEY' };

const connectOnce = (trust) => connectOnceTo(server, trust);
const acceptNew = (knownHosts, more) => connectOnce({ knownHosts, strictHostKeyChecking: 'accept-new', ...more });
const text = (file) => readFileSync(file, 'utf8');
const mode = (path) => (statSync(path).mode & 0o777).toString(8);

/** Connects, and returns the text of the file afterwards. */
async function accepted(file, more) {
  await acceptNew(file, more);
  return text(file);
}

test('accept-new writes an unknown host key to known_hosts once, where the tunnel and ssh find it', async () => {
  const file = files.file('# mine');
  assert.equal(await accepted(file), `# mine\n${LINE}`);
  assert.equal(await accepted(file), `# mine\n${LINE}`);
  await connectOnce({ knownHosts: file });
  assert.ok((await server.ask(file)).trusts);
});

test('accept-new creates .ssh with mode 700 and known_hosts with mode 600', async () => {
  const file = join(dirname(files.missing()), '.ssh', 'known_hosts');
  assert.equal(await accepted(file), LINE);
  assert.deepEqual([mode(dirname(file)), mode(file)], ['700', '600']);
});

test('accept-new completes an unterminated last line before it appends', async () => {
  const file = files.missing();
  writeFileSync(file, `elsewhere ${otherKey.publicKey}`);
  assert.equal(await accepted(file), `elsewhere ${otherKey.publicKey}\n${LINE}`);
  assert.ok((await server.ask(file)).trusts);
});

test('accept-new writes to the first of several files, unless another one already has the key', async () => {
  const [first, second] = [files.file('# first'), files.file('# second')];
  await acceptNew([first, second]);
  assert.deepEqual([text(first), text(second)], [`# first\n${LINE}`, '# second\n']);
  const [empty, knowing] = [files.file('# empty'), files.file(LINE.trim())];
  await acceptNew([empty, knowing]);
  assert.equal(text(empty), '# empty\n');
});

test('accept-new rejects a changed key of any type and writes nothing', async () => {
  const rsa = makeKey(join(files.path, 'rsa'), { type: 'rsa' });
  for (const other of [otherKey, rsa]) {
    for (const hash of [false, true]) {
      const file = files.file(`${server.address} ${other.publicKey}`);
      if (hash) keygen('-H', '-f', file);
      const before = text(file);
      await assert.rejects(acceptNew(file), (error) => {
        assert.equal(error.code, 'ERR_SSH_HOST_KEY');
        for (const part of ['has changed', fingerprint, other.fingerprint, `${file}:1`]) {
          assert.ok(error.message.includes(part), error.message);
        }
        return true;
      });
      assert.equal(text(file), before);
      assert.ok(!(await server.ask(file, 'StrictHostKeyChecking=accept-new')).trusts);
    }
  }
});

test('accept-new rejects a revoked key', async () => {
  const lines = `@revoked * ${publicKey}\n`;
  for (const strictHostKeyChecking of ['accept-new', false]) {
    const file = files.file(lines.trim());
    await assert.rejects(connectOnce({ knownHosts: file, strictHostKeyChecking }), /revoked/);
    assert.equal(text(file), lines);
  }
});

test('accept-new rejects a key that it cannot write', async () => {
  const file = join(files.missing(), 'deeper', 'known_hosts');
  await assert.rejects(acceptNew(file), (error) => {
    assert.equal(error.code, 'ERR_SSH_HOST_KEY');
    assert.ok(error.message.startsWith(`cannot write the known hosts file ${file}: `), error.message);
    return true;
  });
  await assert.rejects(acceptNew(files.missing(), { hostKeyAlias: 'a,b' }), /cannot be written/);
  // Where any key is accepted, a failed write is no error.
  await connectOnce({ knownHosts: file, strictHostKeyChecking: false });
});

test('accept-new writes hostKeyAlias instead of host and port', async () => {
  const file = files.missing();
  const line = LINE.replace(server.address, 'the-gateway');
  assert.equal(await accepted(file, { hostKeyAlias: 'The-Gateway' }), line);
  await connectOnce({ knownHosts: file, hostKeyAlias: 'the-gateway' });
  assert.ok((await server.ask(file, 'HostKeyAlias=the-gateway')).trusts);
  await assert.rejects(connectOnce({ knownHosts: file }), REFUSED);
});

test('accept-new calls hostVerifier for an unknown key and writes the key if it returns true', async () => {
  const asked = [];
  const answer = (word) => (key) => {
    asked.push(key.fingerprint);
    return word;
  };
  const file = files.file('# mine');
  await assert.rejects(acceptNew(file, { hostVerifier: answer(false) }), REFUSED);
  await connectOnce({ knownHosts: file, hostVerifier: answer(true) });
  assert.equal(text(file), '# mine\n', 'without accept-new nothing is');
  assert.equal(await accepted(file, { hostVerifier: answer(true) }), `# mine\n${LINE}`);
  assert.deepEqual(asked, [fingerprint, fingerprint, fingerprint]);
  await acceptNew(file, { hostVerifier: () => assert.fail('asked') });
});

test('accept-new does not override hostKey', async () => {
  const file = files.file('# mine');
  for (const strictHostKeyChecking of ['accept-new', false]) {
    await assert.rejects(
      connectOnce({ knownHosts: file, strictHostKeyChecking, hostKey: otherKey.fingerprint }),
      REFUSED,
    );
    await connectOnce({ knownHosts: file, strictHostKeyChecking, hostKey: fingerprint });
  }
  assert.equal(text(file), '# mine\n');
});

test('strictHostKeyChecking: false writes an unknown key and not a changed one', async () => {
  const strictHostKeyChecking = false;
  const file = files.missing();
  await connectOnce({ knownHosts: file, strictHostKeyChecking });
  assert.equal(text(file), LINE);
  const other = files.file(`${server.address} ${otherKey.publicKey}`);
  await connectOnce({ knownHosts: other, strictHostKeyChecking });
  assert.equal(text(other), `${server.address} ${otherKey.publicKey}\n`);
  await connectOnce({ knownHosts: [], strictHostKeyChecking });
  await assert.rejects(connectOnce({ knownHosts: other, strictHostKeyChecking, hostVerifier: () => false }), REFUSED);
});

test('accept-new works in a blocking call', () => {
  const file = files.missing();
  const tunnel = new SSHTunnel({
    ...server.login,
    hostKey: undefined,
    knownHosts: file,
    strictHostKeyChecking: 'accept-new',
    forwardHost: '127.0.0.1',
    forwardPort: 1,
  });
  tunnel.connect();
  tunnel.shutdown();
  assert.equal(text(file), LINE);
});

test('two processes that write known_hosts at once leave complete lines', async (t) => {
  const children = await Promise.all([1, 2].map(() => Child.start('./tunnel-process.mjs')));
  t.after(() => Promise.all(children.map((child) => child.stop())));
  const start = `elsewhere ${otherKey.publicKey}`;
  const options = { ...server.login, strictHostKeyChecking: 'accept-new', forwardHost: '127.0.0.1', forwardPort: 1 };
  for (let round = 0; round < 10; round++) {
    const file = files.missing();
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, start);
    const given = { ...options, knownHosts: file };
    delete given.hostKey;
    await Promise.all(children.map((child) => child.ask('listen', given)));
    const [first, ...lines] = text(file)
      .split('\n')
      .filter((line) => line !== '');
    assert.equal(first, start);
    assert.ok([1, 2].includes(lines.length), text(file));
    for (const line of lines) assert.equal(`${line}\n`, LINE);
    assert.ok((await server.ask(file)).trusts);
  }
});
