// Certificates of a local authority that are valid for a short time: a tunnel outlives them.

import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { WELL, startExample } from '../helpers/example.mjs';
import { makeHome } from '../helpers/home.mjs';
import { keygen, makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { MIB, Target, behaviors, connect, exchange, patternHash } from '../helpers/peers.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, makeTunnel, openTunnel } from '../helpers/tunnels.mjs';

const folder = temporaryFolder('expiring');
const authority = makeKey(folder.at('authority'));
const revoked = folder.at('revoked');
keygen('-q', '-k', '-f', revoked);
const server = await Sshd.start({ config: [`TrustedUserCAKeys ${authority.file}.pub`, `RevokedKeys ${revoked}`] });
server.authorizeNobody();
after(async () => {
  await server.stop();
  folder.remove();
});

const { username } = userInfo();
const VALID = '-1m:+30s';

let files = 0;

/** Issues a certificate for a key, by its public line. */
function issue({ publicKey }, serial, validity = VALID) {
  const file = folder.at(`issued${files++}`);
  writeFileSync(`${file}.pub`, `${publicKey}\n`);
  const args = ['-q', '-s', authority.file, '-I', 'expiring', '-n', username, '-V', validity, '-z', String(serial)];
  keygen(...args, `${file}.pub`);
  return readFileSync(`${file}-cert.pub`);
}

const accepted = (serial) => server.logged(new RegExp(`Accepted publickey .*ID expiring \\(serial ${serial}\\)`));

/** From now on the server refuses the certificate, as if it had expired. */
const revoke = (serial) => {
  writeFileSync(folder.at('specification'), `serial: ${serial}\n`);
  keygen('-q', '-k', '-u', '-s', `${authority.file}.pub`, '-f', revoked, folder.at('specification'));
};

test('a tunnel lives through five renewals and three lost sessions', async (t) => {
  const key = makeKey(folder.at('user'));
  let serial = 0;
  const it = await openTunnel(t, server, behaviors.echo(), {
    privateKey: key.privateKey,
    certificate: async ({ attempt }) => {
      serial += 1;
      assert.equal(attempt, serial);
      return issue(key, serial);
    },
    reconnect: { initialDelay: 20, maxDelay: 100 },
  });
  // Each session is up although its certificate is not valid any more, and the next one needs another.
  const check = async () => {
    await it.eventLog.next('ready');
    await accepted(serial);
    revoke(serial);
    const client = await it.connect();
    await exchange(client);
    return client;
  };
  await check();
  for (let loss = 0; loss < 3; loss++) {
    server.killSessions();
    await it.eventLog.next('reconnecting');
    const client = await check();
    client.end();
    await client.ended;
  }
  for (let turn = 0; turn < 2; turn++) {
    await it.tunnel.promises.shutdown();
    await it.tunnel.promises.startListening();
    await check();
  }
  assert.equal(serial, 6);
  assert.deepEqual(it.eventLog.all('error'), []);
});

test('a certificate that has expired is refused by the server, and is no reason to reconnect', async (t) => {
  const key = makeKey(folder.at('late'));
  let serial = 100;
  const certificate = () => issue(key, ++serial, serial === 101 ? VALID : '-2m:-1m');
  const it = await openTunnel(t, server, behaviors.echo(), {
    privateKey: key.privateKey,
    certificate,
    reconnect: { initialDelay: 20 },
  });
  await accepted(101);
  server.killSessions();
  assertIncludes(await it.eventLog.next('error'), { code: 'ERR_SSH_AUTH' });
  await server.logged(/Certificate invalid: expired/);
  const again = makeTunnel(t, server.login, 1, { privateKey: key.privateKey, certificate: issue(key, 200, '-2m:-1m') });
  await assert.rejects(again.promises.connect(), { code: 'ERR_SSH_AUTH' });
});

test('the example has a certificate issued for each session', async (t) => {
  const home = makeHome([server]);
  t.after(() => home.remove());
  const target = await Target.start(behaviors.echo());
  t.after(() => target.stop());
  const key = `${home.path}/.ssh/id_ed25519`;
  copyFileSync(`${server.key.file}.pub`, `${key}.pub`);
  // Each certificate has another serial number, and the first one of the second session cannot be issued.
  const program = folder.write(
    `
    import { execFileSync } from 'node:child_process';
    import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
    const [count, authority, username, key] = process.argv.slice(2);
    const serial = Number(readFileSync(count, 'utf8')) + 1;
    writeFileSync(count, String(serial));
    if (serial === 302) throw new Error('out of reach');
    copyFileSync(key, count + '.pub');
    const args = ['-q', '-s', authority, '-I', 'expiring', '-n', username, '-V', '${VALID}', '-z', String(serial)];
    execFileSync('ssh-keygen', [...args, count + '.pub']);
    process.stdout.write(readFileSync(count + '-cert.pub'));
  `,
    'issue.mjs',
  );
  const count = folder.write('300');
  const places = ['127.0.0.1', server.port, '127.0.0.1', target.port];
  const args = [...places, process.execPath, program, count, authority.file, username];
  const example = startExample(t, 'certificates', { args, env: { HOME: home.path } });
  await example.line(/^certificate 1 issued\nconnected$/m);
  await accepted(301);
  const port = await example.port();
  const roundTrip = async () => {
    const client = await connect(port);
    await client.send(MIB);
    client.end();
    assertIncludes(await client.ended, { bytes: MIB, sha256: patternHash(MIB), end: 'FIN' });
  };
  await roundTrip();
  revoke(301);
  server.killSessions();
  await example.line(/^options\.certificate\(\) threw, or its promise was rejected: .*; again in \d+ ms$/m);
  await example.line(/^certificate 3 issued\nconnected$/m);
  await accepted(303);
  await roundTrip();
  example.child.kill('SIGINT');
  assert.deepEqual(await example.exit(), WELL);
});
