// Known attacks on other clients that no other suite tests. docs/security.md has the table of all of them; those on the
// protocol are in crates/ssh-proto/src/client/tests/known_attacks.rs.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { Agent } from '../helpers/agents.mjs';
import { test } from '../helpers/bounded.mjs';
import { makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { makeTunnel } from '../helpers/tunnels.mjs';

const folder = temporaryFolder('known-attacks');
const at = (name) => join(folder.path, name);
const [server, hop] = await Promise.all([Sshd.start(), Sshd.start()]);
after(async () => {
  await Promise.all([server.stop(), hop.stop()]);
  folder.remove();
});

const SUCCESS = 6;
const IDENTITIES_ANSWER = 12;
let agents = 0;

/** An agent that answers every request alike, and records the message numbers. */
async function stubbornAgent(t, ...answer) {
  const requests = [];
  const agent = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      requests.push(bytes[4]);
      const body = Buffer.concat(answer.map((part) => (typeof part === 'number' ? Buffer.of(part) : part)));
      const length = Buffer.alloc(4);
      length.writeUInt32BE(body.length);
      socket.write(Buffer.concat([length, body]));
    });
  });
  const path = at(`agent${agents++}`);
  agent.listen(path);
  await once(agent, 'listening');
  t.after(() => agent.close());
  return { path, requests };
}

const uint32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

// CVE-2025-47913 and similar: a client panicked at an answer of another type.
for (const [name, ...answer] of [
  ['success in place of a list', SUCCESS],
  ['a number that nobody knows', 200, uint32(1)],
  ['a signature in place of a list', 14, uint32(4), Buffer.from('oops')],
  ['a list of four billion keys', IDENTITIES_ANSWER, uint32(0xffff_ffff)],
  ['a list of more keys than any agent has', IDENTITIES_ANSWER, uint32(2049), Buffer.alloc(2049 * 8)],
  ['a key that says that it has 4 GB', IDENTITIES_ANSWER, uint32(1), uint32(0xffff_ffff)],
  ['keys that are none', IDENTITIES_ANSWER, uint32(2), uint32(3), Buffer.from('abc'), uint32(0), uint32(0), uint32(0)],
]) {
  test(`an agent that answers with ${name} is an error`, async (t) => {
    const agent = await stubbornAgent(t, ...answer);
    const login = { ...server.login, agent: agent.path, privateKey: undefined };
    await assert.rejects(makeTunnel(t, login, 1).promises.connect(), { code: 'ERR_SSH_AUTH' });
    // The next method is tried.
    const { privateKey } = server.key;
    await makeTunnel(t, { ...login, privateKey, authHandler: ['agent', 'publickey'] }, 1).promises.connect();
  });
}

// CVE-2016-10009, CVE-2023-38408, CVE-2023-28531: no request is sent but for keys and signatures, and the extension that
// binds these to the session.
test('an agent gets the session, and requests for keys and signatures only', async (t) => {
  const agent = await Agent.start();
  t.after(() => agent.stop());
  const key = makeKey(at('held'));
  server.authorize(key.publicKey);
  agent.add(key.file);
  const EXTENSION = 27;
  const nameOf = (bytes) => bytes.toString('latin1', 9, 9 + bytes.readUInt32BE(5));
  const requests = [];
  const between = net.createServer((socket) => {
    const real = net.connect(agent.path);
    for (const one of [socket, real]) one.on('error', () => {});
    socket
      .on('data', (bytes) => requests.push(bytes[4] === EXTENSION ? nameOf(bytes) : bytes[4]))
      .pipe(real)
      .pipe(socket);
  });
  between.listen(at('between'));
  await once(between, 'listening');
  t.after(() => between.close());
  const login = { ...server.login, agent: at('between'), privateKey: undefined };
  const tunnel = makeTunnel(t, login, 1);
  await tunnel.promises.connect();
  assert.deepEqual(requests, ['session-bind@openssh.com', 11, 13]);
});

// CVE-2020-26301: the path of an agent went through a shell.
for (const path of ['$(touch %)', '`touch %`', '; touch % #', '| touch %', '"; touch %; "', '& touch % &']) {
  test(`the path of an agent never reaches a shell: ${path}`, async (t) => {
    const made = at('made');
    const login = { ...server.login, agent: path.replace('%', made), privateKey: undefined };
    await assert.rejects(makeTunnel(t, login, 1).promises.connect(), /ENOENT|no such file|ERR_SSH_AUTH/i);
    assert.ok(!existsSync(made));
  });
}

// CVE-2026-91166: the key of a jump host was written down as that of the server behind it.
test('an unknown key is written under its own host, for hops and the server', async (t) => {
  const file = at('known_hosts');
  const trust = { hostKey: undefined, knownHosts: file, strictHostKeyChecking: 'accept-new' };
  const tunnel = makeTunnel(t, { ...server.login, ...trust }, 1, { jump: { ...hop.login, ...trust } });
  await tunnel.promises.connect();
  const line = (one) => `${one.address} ${one.hostKeys[0].publicKey.split(' ', 2).join(' ')}`;
  assert.deepEqual(readFileSync(file, 'utf8').trim().split('\n'), [line(hop), line(server)]);
});

// CVE-2026-0967: patterns with which a comparison takes exponential time.
test('patterns with many asterisks match in linear time', async (t) => {
  const pattern = `${'*a'.repeat(200)}*b`;
  const name = 'a'.repeat(200);
  writeFileSync(at('stars'), `${pattern},${'*'.repeat(500)}x ${server.hostKeys[0].publicKey}\n`);
  const trust = { hostKey: undefined, knownHosts: at('stars'), hostKeyAlias: name };
  await assert.rejects(makeTunnel(t, { ...server.login, ...trust }, 1).promises.connect(), {
    code: 'ERR_SSH_HOST_KEY',
  });
  writeFileSync(
    at('config'),
    `Host ${pattern} ${'?*'.repeat(100)}x\n  Port 1\nMatch host ${pattern} user ${pattern}\n  Port 2\nHost *\n  Port 3\n`,
  );
  const tunnel = SSHTunnel.fromConfig(name, {
    configFile: at('config'),
    username: name,
    forwardHost: 'db',
    forwardPort: 1,
  });
  assert.equal(tunnel.configNotices.length, 0);
});
