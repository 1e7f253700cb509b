// The blocking forms. They block this process, so its servers run in another one.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { MIB, connect, patternHash, refuses } from '../helpers/peers.mjs';
import { Child } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes } from '../helpers/tunnels.mjs';

const others = await Child.start('peer-process.mjs');
const sshd = await Sshd.start();
after(() => Promise.all([others.stop(), sshd.stop()]));
const ssh2 = await others.ask('ssh2', {});
const forwardPort = await others.ask('behavior', 'echo');

for (const [name, login] of Object.entries({ sshd: sshd.login, ssh2 })) {
  test(`a tunnel is used with blocking calls only: ${name}`, async (t) => {
    const tunnel = new SSHTunnel({ ...login, forwardHost: '127.0.0.1', forwardPort });
    t.after(() => tunnel.promises.shutdown());
    assert.deepEqual([tunnel.listening, tunnel.localPort], [false, 0]);
    assert.equal(tunnel.connect(), undefined);
    assert.equal(tunnel.listening, false);
    assert.equal(tunnel.startListening(), undefined);
    assert.equal(tunnel.listening, true);
    const port = tunnel.localPort;
    assert.ok(port > 0);

    const client = await connect(port);
    await client.send(4 * MIB);
    await client.received(4 * MIB);
    assert.equal(client.report().sha256, patternHash(4 * MIB));
    const [{ connectionId }] = tunnel.connections();
    client.end();
    assertIncludes(await client.ended, { bytes: 4 * MIB, end: 'FIN' });

    const second = await connect(port);
    await second.send(10);
    await second.received(10);
    const [info] = tunnel.connections();
    assert.notEqual(info.connectionId, connectionId);
    tunnel.setLinger(false); // too late for this one
    second.ended.then(() => second.end());
    await tunnel.promises.disconnect(info.connectionId);
    assertIncludes(await second.ended, { bytes: 10, end: 'FIN' });

    assert.equal(tunnel.stopListening(), undefined);
    assert.equal(tunnel.listening, false);
    assert.ok(await refuses(port));
    assert.equal(tunnel.shutdown(), undefined);
    assert.deepEqual(tunnel.connections(), []);
  });
}

test('a blocking disconnect() with hard Linger returns after the report', async (t) => {
  const tunnel = new SSHTunnel({ ...ssh2, forwardHost: '127.0.0.1', forwardPort, linger: false });
  t.after(() => tunnel.promises.shutdown());
  tunnel.startListening();
  const client = await connect(tunnel.localPort);
  await client.send(10);
  await client.received(10);
  const [{ connectionId }] = tunnel.connections();
  tunnel.disconnect(connectionId);
  assert.deepEqual(tunnel.connections(), []);
  assertIncludes(await client.ended, { bytes: 10, end: 'ECONNRESET' });
  assert.throws(() => tunnel.disconnect(connectionId), { code: 'ERR_TUNNEL_NO_CONNECTION' });
});

test('a blocking call that needs JavaScript to answer fails with ERR_TUNNEL_WOULD_DEADLOCK', async () => {
  let asked = 0;
  const hostVerifier = () => ++asked > 0;
  const options = { ...sshd.login, hostKey: undefined, knownHosts: [], hostVerifier };
  const tunnel = new SSHTunnel({ ...options, forwardHost: '127.0.0.1', forwardPort });
  for (const method of ['connect', 'startListening']) {
    assert.throws(
      () => tunnel[method](),
      (error) => {
        assert.equal(error.code, 'ERR_TUNNEL_WOULD_DEADLOCK');
        assert.match(error.message, /hostVerifier/);
        return true;
      },
    );
  }
  assert.equal(tunnel.listening, false);
  assert.equal(asked, 0);
  // The same tunnel connects without blocking.
  await tunnel.promises.startListening();
  assert.equal(asked, 1);
  await tunnel.promises.shutdown();
});
