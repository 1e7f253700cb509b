// Host certificates: which ones are trusted for which host.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { certifier, makeKey } from '../helpers/keys.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { KnownHosts, connectOnce } from '../helpers/trust.mjs';

const TYPES = ['ed25519', 'ecdsa', 'ecdsa-384', 'ecdsa-521', 'rsa'];
const ALGORITHMS = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
].map((name) => `${name}-cert-v01@openssh.com`);
const NAMES = { principals: '127.0.0.1,gateway' };

const files = new KnownHosts();
const servers = [];
after(async () => {
  files.remove();
  await Promise.all(servers.map((server) => server.stop()));
});

const authority = makeKey(join(files.path, 'ed25519'));
const otherKey = makeKey(join(files.path, 'otherKey'));

async function start(options) {
  const server = await Sshd.start(options);
  servers.push(server);
  return server;
}

/** A server with one key and a certificate of it. */
const certified = (options, by = authority) => start({ certify: certifier(by, { ...NAMES, ...options }) });

const trusting = ({ publicKey }, names = '*') => `@cert-authority ${names} ${publicKey}`;

/** The error of a rejected host key, whose message contains all of these. */
const refused =
  (...parts) =>
  (error) => {
    assert.equal(error.code, 'ERR_SSH_HOST_KEY', error.message);
    for (const part of parts) assert.ok(error.message.includes(part), error.message);
    return true;
  };

const good = await certified();

for (const type of ['ed25519', 'ecdsa', 'ecdsa-521', 'rsa']) {
  test(`host certificates of every key type, signed by ${type}, are accepted`, async () => {
    const [name, bits] = type.split('-');
    const by = makeKey(join(files.path, `authority_${type}`), { type: name, bits });
    const server = await start({ hostKeyTypes: TYPES, certify: certifier(by, NAMES) });
    // No key is known by itself, so only the certificates can be trusted.
    const knownHosts = files.file(`@cert-authority 127.0.0.1 ${by.publicKey}`);
    await connectOnce(server, { knownHosts });
    for (const algorithm of ALGORITHMS) {
      await connectOnce(server, { knownHosts, algorithms: { serverHostKey: [algorithm] } });
    }
    await assert.rejects(
      connectOnce(server, { knownHosts, algorithms: { serverHostKey: ['ssh-ed25519'] } }),
      refused('not known'),
    );
  });
}

test('@cert-authority lines match by pattern, port, file and hostKeyAlias', async () => {
  const elsewhere = files.file(trusting(authority, 'elsewhere'), trusting(otherKey));
  const missing = files.missing();
  for (const names of ['127.0.0.?', good.address, '[*]:*', `!elsewhere,${good.address}`]) {
    await connectOnce(good, { knownHosts: [missing, elsewhere, files.file('# comment', trusting(authority, names))] });
  }
  await assert.rejects(connectOnce(good, { knownHosts: elsewhere }), refused('not known', authority.fingerprint));
  const alias = files.file(trusting(authority, 'gateway'));
  await connectOnce(good, { knownHosts: alias, hostKeyAlias: 'Gateway' });
  await assert.rejects(connectOnce(good, { knownHosts: alias }), refused('not known'));
});

test('a host known by its key needs no certificate authority', async () => {
  const [{ publicKey, fingerprint }] = good.hostKeys;
  await connectOnce(good, { knownHosts: files.file(`${good.address} ${publicKey}`) });
  await connectOnce(good, { knownHosts: files.file(trusting(otherKey), `${good.address} ${publicKey}`) });
  await connectOnce(good, { hostKey: fingerprint, algorithms: { serverHostKey: [ALGORITHMS[0]] } });
});

test('hostVerifier receives the plain key when no authority matches', async () => {
  const asked = [];
  const hostVerifier = (key) => asked.push(key) > 0;
  await connectOnce(good, { knownHosts: files.file(trusting(otherKey)), hostVerifier });
  assert.deepEqual(
    asked.map(({ type, fingerprint }) => [type, fingerprint]),
    [['ssh-ed25519', good.hostKeys[0].fingerprint]],
  );
  await connectOnce(good, { knownHosts: files.file(trusting(authority)), hostVerifier: () => assert.fail('asked') });
});

const BAD = [
  ['expired', { validity: '20200101:20200102' }, 'expired'],
  ['not valid yet', { validity: '29000101:29000102' }, 'valid only in'],
  [
    'for another host',
    { principals: 'elsewhere,127.0.0.10,[127.0.0.1]:22' },
    'it is for elsewhere, 127.0.0.10, [127.0.0.1]:22, not for 127.0.0.1',
  ],
  // OpenSSH 9 accepts it for every host, later versions do not.
  ['for nobody', { principals: '' }, 'names no host', { unlikeSsh: true }],
  ['of a user', { kind: 'user' }, 'for a user'],
  ['with an unknown option', { more: ['-O', 'critical:something=else'] }, 'critical option something'],
];

for (const [name, options, reason, { unlikeSsh = false } = {}] of BAD) {
  test(`a host certificate that is ${name} is rejected`, async () => {
    const server = await certified(options);
    const knownHosts = files.file('', trusting(authority));
    const why = refused(reason, authority.fingerprint, server.hostKeys[0].fingerprint, `${knownHosts}:2`);
    await assert.rejects(connectOnce(server, { knownHosts }), why);
    await assert.rejects(connectOnce(server, { knownHosts, hostVerifier: () => assert.fail('asked') }), why);
    await assert.rejects(connectOnce(server, { knownHosts, strictHostKeyChecking: 'accept-new' }), why);
    assert.equal((await server.ask(knownHosts)).trusts, unlikeSsh);
    // The key in the certificate may be known by itself.
    const known = files.file(trusting(authority), `${server.address} ${server.hostKeys[0].publicKey}`);
    await connectOnce(server, { knownHosts: known });
    assert.ok((await server.ask(known)).trusts);
    await connectOnce(server, { knownHosts, strictHostKeyChecking: false });
  });
}

test('a certificate signed with SHA-1 is rejected', async () => {
  const rsa = makeKey(join(files.path, 'sha1'), { type: 'rsa' });
  const server = await certified({ more: ['-t', 'ssh-rsa'] }, rsa);
  const knownHosts = files.file(trusting(rsa));
  await assert.rejects(connectOnce(server, { knownHosts }), refused('ssh-rsa keys do not sign with ssh-rsa'));
  assert.ok(!(await server.ask(knownHosts)).trusts);
});

test('a revoked authority, and a revoked key in a valid certificate, are rejected', async () => {
  const [{ publicKey }] = good.hostKeys;
  for (const revoked of [authority.publicKey, publicKey]) {
    const lines = [trusting(authority), `${good.address} ${publicKey}`, `@revoked * ${revoked}`];
    const knownHosts = files.file(...lines);
    for (const strictHostKeyChecking of [true, 'accept-new', false]) {
      await assert.rejects(
        connectOnce(good, { knownHosts, strictHostKeyChecking }),
        refused(`revoked by ${knownHosts}:3`),
      );
    }
    await assert.rejects(connectOnce(good, { knownHosts, hostVerifier: () => true }), refused('revoked'));
    assert.ok(!(await good.ask(knownHosts)).trusts);
  }
  const knownHosts = files.file(trusting(authority), `@revoked elsewhere ${authority.publicKey}`);
  await connectOnce(good, { knownHosts });
});
