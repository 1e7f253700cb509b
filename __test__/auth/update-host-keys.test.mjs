// updateHostKeys: a server known by one key announces its others and proves that it has them.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { certifier, makeKey } from '../helpers/keys.mjs';
import { behaviors } from '../helpers/peers.mjs';
import { until, whenFile } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { KnownHosts, connectOnce } from '../helpers/trust.mjs';
import { openTunnel, roundTrip } from '../helpers/tunnels.mjs';

const files = new KnownHosts();
const authority = makeKey(join(files.path, 'authority'));
const otherKey = makeKey(join(files.path, 'otherKey'));
const hostKeyTypes = ['ed25519', 'ecdsa', 'ecdsa-521', 'rsa'];
const options = { hostKeyTypes, logLevel: 'DEBUG1', certify: certifier(authority, { principals: '127.0.0.1' }) };
const server = await Sshd.start(options);
after(async () => {
  files.remove();
  await server.stop();
});

const PROOF = 'hostkeys-prove-00@openssh.com';
const lines = server.hostKeys.map(({ publicKey }) => `${server.address} ${publicKey.split(' ', 2).join(' ')}\n`);
const text = (file) => readFileSync(file, 'utf8');

for (const [at, type] of hostKeyTypes.entries()) {
  test(`updateHostKeys adds all other keys of a host known by ${type}`, async (t) => {
    const elsewhere = files.file(`elsewhere ${otherKey.publicKey}`);
    const file = files.file(lines[at].trim());
    const { tunnel } = await openTunnel(t, server, undefined, {
      hostKey: undefined,
      knownHosts: [elsewhere, file],
      updateHostKeys: true,
    });
    await whenFile(file, /(?:.*\n){4}/);
    await tunnel.promises.shutdown();
    const others = lines.filter((line) => line !== lines[at]);
    const [first, ...learned] = text(file).match(/.*\n/g);
    assert.equal(first, lines[at]);
    assert.deepEqual(learned.sort(), others.sort());
    assert.equal(text(elsewhere), `elsewhere ${otherKey.publicKey}\n`);
    for (const algorithm of ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp521', 'rsa-sha2-256']) {
      await connectOnce(server, { knownHosts: file, algorithms: { serverHostKey: [algorithm] } });
      const { trusts, stderr } = await server.ask(file, `HostKeyAlgorithms=${algorithm}`);
      assert.ok(trusts, stderr);
    }
  });
}

test('updateHostKeys removes the keys that the server does not have any more', async (t) => {
  const old = `${server.address} ${otherKey.publicKey.split(' ', 2).join(' ')}`;
  const others = [`elsewhere ${otherKey.publicKey}`, `# ${old}`];
  // All keys of the server are known, then all but one.
  for (const known of [lines, lines.slice(0, -1)]) {
    const ours = files.file(...others, old, ...known.map((line) => line.trim()));
    const { tunnel } = await openTunnel(t, server, undefined, {
      hostKey: undefined,
      knownHosts: [ours],
      updateHostKeys: true,
    });
    await until(() => !text(ours).includes(`\n${old}`));
    await tunnel.promises.shutdown();
    const sorted = (file) => text(file).trim().split('\n').sort();
    assert.deepEqual(sorted(ours), [...others, ...lines.map((line) => line.trim())].sort());
  }
});

/** Whether the client requested proofs after the server announced its keys. */
async function wasAsked(t, trust) {
  const before = server.log().length;
  const open = await openTunnel(t, server, behaviors.echo(), { hostKey: undefined, ...trust });
  // The server answers in the order in which it is asked: when the connection is open we have asked,
  // and when bytes come back through it we have been answered.
  await roundTrip(open, 1);
  await open.tunnel.promises.shutdown();
  return server.log().slice(before).includes(PROOF);
}

test('updateHostKeys requests no proof unless it is enabled and the key comes from a file', async (t) => {
  const updateHostKeys = true;
  const known = files.file(...lines.slice(0, 1).map((line) => line.trim()));
  const [{ fingerprint }] = server.hostKeys;
  const unwanted = [
    { knownHosts: known },
    { knownHosts: files.file(...lines.map((line) => line.trim())), updateHostKeys },
    { knownHosts: files.file(), hostKey: server.login.hostKey, updateHostKeys },
    { knownHosts: files.file(`@cert-authority * ${authority.publicKey}`, lines[0].trim()), updateHostKeys },
    { knownHosts: files.missing(), strictHostKeyChecking: 'accept-new', updateHostKeys },
    { knownHosts: files.file(`${server.address} ${otherKey.publicKey}`), strictHostKeyChecking: false, updateHostKeys },
    {
      knownHosts: files.file(),
      hostVerifier: (key) => key.fingerprint === fingerprint,
      algorithms: { serverHostKey: ['ssh-ed25519'] },
      updateHostKeys,
    },
    { knownHosts: files.file(`127.0.0.1 ${server.hostKeys[0].publicKey}`), updateHostKeys },
    { knownHosts: files.file(`[127.0.0.*]:${server.port} ${server.hostKeys[0].publicKey}`), updateHostKeys },
  ];
  for (const [at, trust] of unwanted.entries()) assert.equal(await wasAsked(t, trust), false, String(at));
  assert.equal(text(known), lines[0]);
  // A request for proofs would have been seen.
  assert.equal(await wasAsked(t, { knownHosts: known, updateHostKeys }), true);
  await whenFile(known, /(?:.*\n){4}/);
});
