// Unknown hosts in programs: the key of the error, and trustHost().

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after } from 'node:test';

import { connectAsking } from '../../examples/unknown-host.mjs';
import { SSHTunnel as PromisesTunnel } from '../../promises.js';
import { test } from '../helpers/bounded.mjs';
import { certifier, makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, withoutForward } from '../helpers/tunnels.mjs';

const [server, gateway] = await Promise.all([Sshd.start(), Sshd.start()]);
const folder = temporaryFolder('trust-host');
after(async () => {
  await Promise.all([server.stop(), gateway.stop()]);
  folder.remove();
});

let files = 0;
const newFile = (text = '') => folder.write(text, `known${files++}`);
const login = ({ login: { hostKey, ...others } }, knownHosts) => ({ ...others, knownHosts });
const lineOf = ({ address, hostKeys: [{ publicKey }] }) => `${address} ${publicKey.split(' ', 2).join(' ')}\n`;

async function refusedKey(tunnel) {
  let key;
  await assert.rejects(tunnel.promises.connect(), ({ code, hostKey }) => {
    key = hostKey;
    return code === 'ERR_SSH_HOST_KEY';
  });
  return key;
}

/** The three forms of a call, each of which settles a promise. */
const FORMS = {
  blocking: async (tunnel, key) => tunnel.trustHost(key),
  callback: (tunnel, key) =>
    new Promise((resolve, reject) => tunnel.trustHost(key, (error) => (error ? reject(error) : resolve()))),
  promise: (tunnel, key) => tunnel.promises.trustHost(key),
};

for (const [form, trust] of Object.entries(FORMS)) {
  test(`trustHost() adds the key of the error, which the next connection accepts: ${form}`, async (t) => {
    const known = newFile(`elsewhere ${makeKey(folder.at(`other-${form}`)).publicKey}\n`);
    const before = readFileSync(known, 'utf8');
    const { tunnel } = withoutForward(t, login(server, known));
    const key = await refusedKey(tunnel);
    const [{ publicKey, fingerprint }] = server.hostKeys;
    assert.deepEqual(key, {
      reason: 'unknown',
      fingerprint,
      host: '127.0.0.1',
      port: server.port,
      name: server.address,
      type: 'ssh-ed25519',
      publicKey: publicKey.split(' ', 2).join(' '),
    });
    // A copy, as another process of the program passes it back.
    for (let turn = 0; turn < 2; turn++) assert.equal(await trust(tunnel, structuredClone(key)), undefined);
    assert.equal(readFileSync(known, 'utf8'), before + lineOf(server));
    await tunnel.promises.connect();
    assert.equal((await server.ask(known)).trusts, true, 'ssh trusts it, too');
  });

  test(`trustHost() refuses a changed and a revoked key, and leaves the file as it is: ${form}`, async (t) => {
    const known = newFile();
    const { tunnel } = withoutForward(t, login(server, known));
    const key = await refusedKey(tunnel);
    const other = makeKey(folder.at(`changed-${form}`));
    for (const [reason, text] of [
      ['changed', `# before\n${server.address} ${other.publicKey}\n`],
      ['revoked', `# before\n@revoked * ${key.publicKey}\n`],
    ]) {
      writeFileSync(known, text);
      await assert.rejects(trust(tunnel, key), (error) => {
        assertIncludes(error, { code: 'ERR_SSH_HOST_KEY', hop: undefined });
        assertIncludes(error.hostKey, { reason, file: known, line: 2, publicKey: key.publicKey, name: key.name });
        return true;
      });
      assert.equal(readFileSync(known, 'utf8'), text);
      assertIncludes(await refusedKey(tunnel), { reason, file: known, line: 2, host: key.host, port: key.port });
    }
  });
}

test('trustHost() writes a hash, an alias, and the key inside a certificate', async (t) => {
  const known = newFile();
  const { tunnel } = withoutForward(t, { ...login(server, known), hashKnownHosts: true, hostKeyAlias: 'gateway' });
  const key = await refusedKey(tunnel);
  assertIncludes(key, { name: 'gateway', host: '127.0.0.1' });
  await tunnel.promises.trustHost(key);
  assert.match(readFileSync(known, 'utf8'), /^\|1\|\S+ ssh-ed25519 \S+\n$/);
  await tunnel.promises.connect();

  const certified = await Sshd.start({ certify: certifier(makeKey(folder.at('ca')), { principals: '127.0.0.1' }) });
  t.after(() => certified.stop());
  const { tunnel: to } = withoutForward(t, login(certified, newFile()));
  await to.promises.trustHost(await refusedKey(to));
  await to.promises.connect();
});

test('trustHost() adds the key of a jump host to the file of that host', async (t) => {
  const [ofServer, ofHop] = [newFile(lineOf(server)), newFile()];
  const { tunnel } = withoutForward(t, { ...login(server, ofServer), jump: login(gateway, ofHop) });
  const key = await refusedKey(tunnel);
  assertIncludes(key, { reason: 'unknown', host: '127.0.0.1', port: gateway.port });
  gateway.authorize(gateway.key.publicKey);
  await tunnel.promises.trustHost(key);
  assert.deepEqual([readFileSync(ofServer, 'utf8'), readFileSync(ofHop, 'utf8')], [lineOf(server), lineOf(gateway)]);
  await tunnel.promises.connect();
});

test('a key that a hostVerifier has refused can be trusted later', async (t) => {
  const known = newFile();
  const { tunnel } = withoutForward(t, { ...login(server, known), hostVerifier: () => false });
  const key = await refusedKey(tunnel);
  assertIncludes(key, { reason: 'rejected', name: server.address, type: 'ssh-ed25519' });
  await tunnel.promises.trustHost(key);
  await tunnel.promises.connect();
});

test('trustHost() fails where there is no file, or none that can be written', async (t) => {
  const { host, port, hostKey } = server.login;
  const key = { host, port, publicKey: hostKey[0] };
  const { tunnel } = withoutForward(t, { ...server.login, hostKey: 'SHA256:'.padEnd(50, 'A') });
  await assert.rejects(tunnel.promises.trustHost(key), { code: 'ERR_SSH_HOST_KEY', message: /no file of known hosts/ });
  const nowhere = folder.at('none/deeper/known_hosts');
  const { tunnel: unwritable } = withoutForward(t, login(server, nowhere));
  await assert.rejects(unwritable.promises.trustHost(key), { code: 'ERR_SSH_HOST_KEY', file: nowhere });
});

test('trustHost() refuses what is no host key of a server of the tunnel', (t) => {
  const known = newFile();
  const { tunnel } = withoutForward(t, login(server, known));
  const { host, port, hostKey } = server.login;
  const key = { host, port, publicKey: hostKey[0] };
  for (const [wrong, code] of [
    [undefined, 'ERR_INVALID_ARG_TYPE'],
    ['key', 'ERR_INVALID_ARG_TYPE'],
    [{ ...key, host: 5 }, 'ERR_INVALID_ARG_TYPE'],
    [{ ...key, host: 'a\nb' }, 'ERR_INVALID_ARG_VALUE'],
    [{ ...key, port: 0 }, 'ERR_OUT_OF_RANGE'],
    [{ ...key, publicKey: undefined }, 'ERR_INVALID_ARG_TYPE'],
    [{ ...key, publicKey: server.hostKeys[0].fingerprint }, 'ERR_INVALID_ARG_VALUE'],
    [{ ...key, publicKey: 'ssh-ed25519 AAAA' }, 'ERR_INVALID_ARG_VALUE'],
    [{ ...key, host: 'elsewhere' }, 'ERR_INVALID_ARG_VALUE'],
    [{ ...key, port: port === 1 ? 2 : 1 }, 'ERR_INVALID_ARG_VALUE'],
  ]) {
    assert.throws(() => tunnel.trustHost(wrong), {
      code,
      name: code === 'ERR_OUT_OF_RANGE' ? 'RangeError' : 'TypeError',
    });
  }
  assert.equal(readFileSync(known, 'utf8'), '');
});

test('the example asks in a dialog, once for each unknown server, and about nothing else', async (t) => {
  const known = newFile();
  const make = () => {
    const tunnel = new PromisesTunnel({ ...login(server, known), jump: login(gateway, known) });
    t.after(() => tunnel.shutdown());
    return tunnel;
  };
  gateway.authorize(gateway.key.publicKey);
  const asked = [];
  const dialog =
    (answer) =>
    async ({ name, type, fingerprint }) => (asked.push([name, type, fingerprint]), answer);
  await assert.rejects(connectAsking(make(), dialog(false)), { code: 'ERR_SSH_HOST_KEY' });
  const [one, other] = [gateway, server].map((it) => [it.address, 'ssh-ed25519', it.hostKeys[0].fingerprint]);
  assert.deepEqual(asked, [one]);
  await connectAsking(make(), dialog(true));
  assert.deepEqual(asked, [one, one, other]);
  await connectAsking(make(), dialog(true));
  assert.equal(asked.length, 3);
  writeFileSync(known, lineOf(gateway).replace(gateway.address, server.address), { flag: 'w' });
  writeFileSync(known, lineOf(gateway), { flag: 'a' });
  await assert.rejects(connectAsking(make(), dialog(true)), ({ hostKey }) => hostKey.reason === 'changed');
  assert.equal(asked.length, 3);
});
