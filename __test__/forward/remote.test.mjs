// Remote forwards: ports and Unix sockets of the server that lead to a target here.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import {
  KIB,
  MIB,
  Target,
  behaviors,
  connect,
  patternHash,
  refuses,
  refusingPort,
  settled,
  silentPort,
} from '../helpers/peers.mjs';
import { descriptors, listeners, until } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, only, openRemote, roundTrip, withoutForward } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

/** A tunnel with a remote forward to a target, of the shared sshd by default. */
const open = (t, behavior, { at = server, ...how } = {}) => openRemote(t, at, behavior, how);

describe('a port', () => {
  test('chosen by the server forwards bytes and ends both ways', async (t) => {
    const it = await open(t, behaviors.echo());
    const { forward, target, tunnel } = it;
    assertIncludes(forward, {
      forwardId: 1,
      kind: 'remote',
      listening: true,
      remoteHost: '127.0.0.1',
      remotePath: undefined,
      localHost: undefined,
      localPort: undefined,
      forwardHost: '127.0.0.1',
      forwardPort: target.port,
    });
    assert.ok(forward.remotePort > 0);
    assert.deepEqual(tunnel.forwards(), [forward]);
    assert.equal(tunnel.listening, false);
    const client = await it.connect();
    const peer = await target.next();
    const info = await it.eventLog.next('connection');
    assertIncludes(info, {
      connectionId: 1,
      forwardId: 1,
      state: 'open',
      remoteAddress: '127.0.0.1',
      remotePort: client.socket.localPort,
      localAddress: '127.0.0.1',
      localPort: peer.socket.remotePort,
      forwardHost: '127.0.0.1',
      forwardPort: target.port,
    });
    await client.send(4 * MIB);
    client.end();
    const whole = { bytes: 4 * MIB, sha256: patternHash(4 * MIB), end: 'FIN' };
    assertIncludes(await client.ended, whole);
    assertIncludes(await peer.ended, whole);
    const end = { connectionId: 1, forwardId: 1, code: 'OK', clean: true, closedBy: 'graceful' };
    assertIncludes(await it.eventLog.next('disconnected'), { ...end, bytesUp: 4 * MIB, bytesDown: 4 * MIB });
  });

  test('requested by number is bound', async (t) => {
    const it = await open(t, behaviors.echo());
    const { remotePort } = it.forward;
    await it.forward.promises.stop();
    assert.equal(it.forward.listening, false);
    assert.equal(await refuses(remotePort), true);
    const to = { forwardHost: '127.0.0.1', forwardPort: it.target.port };
    const forward = await it.tunnel.promises.forwardRemote({ remotePort, ...to });
    assert.deepEqual([forward.forwardId, forward.remoteHost, forward.remotePort], [2, 'localhost', remotePort]);
    await roundTrip(it, MIB);
  });

  test('is bound to the loopback address unless the server has GatewayPorts', async (t) => {
    const everywhere = await open(t, behaviors.echo(), { remote: { remoteHost: '0.0.0.0' } });
    for (const { local } of listeners(everywhere.forward.remotePort)) assert.match(local, /^(0100007F|0{24}01000000):/);
    const at = await Sshd.start({ config: ['GatewayPorts clientspecified'] });
    t.after(() => at.stop());
    const { forward, target } = await open(t, behaviors.echo(), { at, remote: { remoteHost: '127.0.0.2' } });
    // Another program may have the same number on another address, but not on all of them.
    const addresses = listeners(forward.remotePort).map(({ local }) => local.split(':')[0]);
    assert.ok(addresses.includes('0200007F') && !addresses.some((address) => /^0+$/.test(address)), `${addresses}`);
    const client = await connect(forward.remotePort, { host: '127.0.0.2' });
    client.end();
    assertIncludes(await client.ended, { bytes: 0, end: 'FIN' });
    await target.next();
  });

  test('in use is refused, and other forwards stay', async (t) => {
    const it = await open(t, behaviors.echo());
    const to = { forwardHost: '127.0.0.1', forwardPort: it.target.port };
    const { remoteHost, remotePort } = it.forward;
    await assert.rejects(it.tunnel.promises.forwardRemote({ remoteHost, remotePort, ...to }), (error) => {
      assert.equal(error.code, 'ERR_SSH_FORWARD_REFUSED');
      assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${remotePort}`));
      return error instanceof Error;
    });
    assert.deepEqual(it.tunnel.forwards(), [it.forward]);
    await roundTrip(it);
    assert.deepEqual(it.eventLog.all('error'), []);
  });

  test('that is refused ends a session that was made for it', async (t) => {
    const {
      forward: { remoteHost, remotePort },
    } = await open(t, behaviors.idle());
    const { tunnel, eventLog } = withoutForward(t, server.login);
    const to = { forwardHost: '127.0.0.1', forwardPort: 9 };
    const refused = tunnel.promises.forwardRemote({ remoteHost, remotePort, ...to });
    await assert.rejects(refused, { code: 'ERR_SSH_FORWARD_REFUSED' });
    await eventLog.next('close');
    assert.deepEqual(eventLog.names(), ['ready', 'close']);
  });

  test('is refused by a server that disables forwarding', async (t) => {
    const at = await Sshd.start({ config: ['AllowTcpForwarding local'] });
    t.after(() => at.stop());
    await assert.rejects(open(t, behaviors.idle(), { at }), { code: 'ERR_SSH_FORWARD_REFUSED' });
  });

  test('can be requested in the blocking and callback forms', async (t) => {
    const { tunnel, eventLog } = withoutForward(t, server.login);
    const to = { forwardHost: '127.0.0.1', forwardPort: 9 };
    const first = tunnel.forwardRemote(to);
    assert.equal(first.listening, true);
    const second = await new Promise((resolve, reject) => {
      tunnel.forwardRemote(to, (error, forward) => (error ? reject(error) : resolve(forward)));
    });
    assert.deepEqual(tunnel.forwards(), [first, second]);
    assert.notEqual(first.remotePort, second.remotePort);
    first.stop();
    assert.equal(first.listening, false);
    await new Promise((resolve, reject) => second.stop((error) => (error ? reject(error) : resolve())));
    assert.deepEqual(tunnel.forwards(), []);
    await second.promises.stop();
    await eventLog.next('close');
  });
});

describe('a target', () => {
  test("that refuses ends the remote client's stream, and the event has the reason", async (t) => {
    const refusing = await refusingPort();
    t.after(() => refusing.stop());
    const it = await open(t, behaviors.echo(), { remote: { forwardPort: refusing.port } });
    const client = await it.connect();
    assertIncludes(await client.ended, { bytes: 0 });
    const end = await it.eventLog.next('disconnected');
    assertIncludes(end, { connectionId: 1, forwardId: 1, code: 'ECONNREFUSED', clean: false, closedBy: 'reset' });
    assert.match(end.reason, new RegExp(`connect ECONNREFUSED 127.0.0.1:${refusing.port}`));
    assert.deepEqual(it.eventLog.all('connection'), []);
    assert.equal(it.forward.listening, true);
  });

  test("that never answers times out and ends the remote client's stream", async (t) => {
    const silent = await silentPort();
    t.after(() => silent.stop());
    const it = await open(t, behaviors.echo(), {
      options: { readyTimeout: 2000 },
      remote: { forwardPort: silent.port },
    });
    const client = await it.connect();
    assertIncludes(await client.ended, { bytes: 0 });
    const end = await it.eventLog.next('disconnected');
    assertIncludes(end, {
      connectionId: 1,
      forwardId: 1,
      code: 'ETIMEDOUT',
      clean: false,
      closedBy: 'reset',
      bytesUp: 0,
      bytesDown: 0,
    });
    assert.match(end.reason, /^no .+ within readyTimeout$/);
    assert.deepEqual([it.eventLog.all('connection'), it.eventLog.all('error')], [[], []]);
    assert.equal(it.forward.listening, true);
  });

  test("that does not exist ends the remote client's stream", async (t) => {
    const it = await open(t, behaviors.echo(), { remote: { forwardHost: 'nowhere.invalid' } });
    await (await it.connect()).ended;
    const end = await it.eventLog.next('disconnected');
    assert.match(end.code, /^(ENOTFOUND|EAI_AGAIN)$/);
    assert.match(end.reason, /nowhere\.invalid/);
  });

  test('given by name is connected over the family it listens on', async (t) => {
    const it = await open(t, behaviors.echo(), { remote: { forwardHost: 'localhost' } });
    await roundTrip(it);
  });

  test('is not dialed before connectionRequest is answered', async (t) => {
    const it = await open(t, behaviors.echo());
    const requests = [];
    it.tunnel.on('connectionRequest', (request) => {
      requests.push(request);
      if (requests.length === 1) request.reject();
    });
    const first = await it.connect();
    await first.ended;
    assertIncludes(await it.eventLog.next('disconnected'), { code: 'ERR_TUNNEL_REJECTED', closedBy: 'reset' });
    const second = await it.connect();
    while (requests.length < 2) await once(it.tunnel, 'connectionRequest');
    assertIncludes(requests[1], { connectionId: 2, remoteAddress: '127.0.0.1', remotePort: second.socket.localPort });
    assertIncludes(await only(it.tunnel), { connectionId: 2, state: 'requested', forwardId: 1 });
    assert.equal(it.target.peers.length, 0);
    requests[1].accept();
    await second.send(KIB);
    await second.received(KIB);
    second.end();
    assertIncludes(await second.ended, { bytes: KIB, end: 'FIN' });
    assert.equal(it.target.peers.length, 1);
  });

  test('of a pending connectionRequest is never dialed after disconnect()', async (t) => {
    const it = await open(t, behaviors.echo());
    it.tunnel.once('connectionRequest', ({ connectionId }) => it.tunnel.disconnect(connectionId, () => {}));
    await (await it.connect()).ended;
    assertIncludes(await it.eventLog.next('disconnected'), { code: 'ECONNABORTED', reason: 'closed by disconnect()' });
    assert.equal(it.target.peers.length, 0);
  });
});

test('that stalls applies backpressure to the remote client and delays no other', async (t) => {
  const it = await open(t, behaviors.idle());
  const stuck = await it.connect();
  stuck.send(64 * MIB);
  const peer = await it.target.next();
  await settled(() => stuck.accepted);
  const other = await it.connect();
  const at = await it.target.next();
  await other.send(MIB);
  await at.read().received(MIB);
  assert.ok(stuck.accepted < 40 * MIB);
  peer.read();
  await peer.received(stuck.accepted);
});

describe('unix sockets', () => {
  test('work on both ends', async (t) => {
    const folder = temporaryFolder('remote');
    t.after(() => folder.remove());
    const [near, remoteEnd] = ['near', 'remoteEnd'].map((name) => join(folder.path, name));
    const target = await Target.start(behaviors.echo(), near);
    t.after(() => target.stop());
    const { tunnel, eventLog } = withoutForward(t, server.login);
    const forward = await tunnel.promises.forwardRemote({ remotePath: remoteEnd, forwardPath: near });
    assertIncludes(forward, {
      kind: 'remote',
      remotePath: remoteEnd,
      forwardPath: near,
      remotePort: undefined,
      forwardPort: undefined,
    });
    const client = await connect(remoteEnd);
    t.after(() => client.socket.destroy());
    await client.send(4 * MIB);
    client.end();
    assertIncludes(await client.ended, { bytes: 4 * MIB, sha256: patternHash(4 * MIB), end: 'FIN' });
    assertIncludes(await eventLog.next('connection'), {
      forwardPath: near,
      remoteAddress: undefined,
      remotePort: undefined,
    });
    assertIncludes(await eventLog.next('disconnected'), { code: 'OK', clean: true, bytesUp: 4 * MIB });

    // An existing file is not replaced: StreamLocalBindUnlink is "no".
    const taken = join(folder.path, 'taken');
    writeFileSync(taken, '');
    const refused = tunnel.promises.forwardRemote({ remotePath: taken, forwardPath: near });
    await assert.rejects(refused, (error) => error.code === 'ERR_SSH_FORWARD_REFUSED' && error.message.includes(taken));
    assert.equal(existsSync(taken), true);

    const nobody = await tunnel.promises.forwardRemote({
      remotePath: join(folder.path, 'other'),
      forwardPath: join(folder.path, 'nobody'),
    });
    const lost = await connect(nobody.remotePath);
    await lost.ended;
    const end = await eventLog.next('disconnected');
    assertIncludes(end, { code: 'ENOENT', forwardId: nobody.forwardId });
    assert.match(end.reason, /nobody/);
  });
});

describe('stop()', () => {
  test('closes the port and keeps open connections', async (t) => {
    const it = await open(t, behaviors.echo());
    const client = await it.connect();
    await client.send(KIB);
    await client.received(KIB);
    await it.forward.promises.stop();
    assert.equal(await refuses(it.forward.remotePort), true);
    assert.deepEqual(it.tunnel.forwards(), []);
    await client.send(KIB);
    await client.received(2 * KIB);
    assert.deepEqual(it.eventLog.all('close'), []);
    client.end();
    assertIncludes(await client.ended, { bytes: 2 * KIB, end: 'FIN' });
    assertIncludes(await it.eventLog.next('disconnected'), { code: 'OK', clean: true });
    await it.eventLog.next('close');
  });

  for (const method of ['shutdown', 'close']) {
    test(`${method}() ends all forwards`, async (t) => {
      const it = await open(t, behaviors.echo());
      await it.tunnel.promises[method]();
      assert.equal(await refuses(it.forward.remotePort), true);
      assert.deepEqual([it.forward.listening, it.tunnel.forwards()], [false, []]);
      await it.forward.promises.stop();
    });
  }
});

test('200 simultaneous connections leave no descriptors', async (t) => {
  const it = await open(t, behaviors.echo());
  await roundTrip(it);
  const before = descriptors();
  const one = async () => {
    const client = await it.connect();
    await client.send(64 * KIB);
    client.end();
    assertIncludes(await client.ended, { bytes: 64 * KIB, sha256: patternHash(64 * KIB), end: 'FIN' });
    await client.closed;
  };
  await Promise.all(Array.from({ length: 200 }, one));
  for (let count = 0; count < 200; count++)
    assertIncludes(await it.eventLog.next('disconnected'), { code: 'OK', clean: true });
  await Promise.all(it.target.peers.map(({ closed }) => closed));
  await until(() => descriptors() <= before);
});

// The close of one channel and the open of the next often arrive together, with the same channel number.
test('channels opened while others close reach their own targets', async (t) => {
  const [atOnce, each] = [12, 40];
  const it = await open(t, behaviors.replier(KIB));
  const inARow = async (_, worker) => {
    for (let count = 0; count < each; count++) {
      const client = await it.connect();
      await client.send(worker * 1000 + count);
      client.end();
      assertIncludes(await client.ended, { bytes: KIB, sha256: patternHash(KIB), end: 'FIN' });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, inARow));
  const ends = [];
  while (ends.length < atOnce * each) ends.push(await it.eventLog.next('disconnected'));
  assert.ok(ends.every(({ code, clean }) => code === 'OK' && clean));
  // `bytesDown` counts what the target got.
  const sizes = Array.from({ length: atOnce * each }, (_, at) => Math.floor(at / each) * 1000 + (at % each));
  assert.deepEqual(
    ends.map(({ bytesDown }) => bytesDown).sort((a, b) => a - b),
    sizes,
  );
  assert.deepEqual(await it.tunnel.promises.connections(), []);
});

test('invalid options throw before anything is sent', (t) => {
  const { tunnel } = withoutForward(t, server.login);
  const refuses = (options, code, name) => {
    const message = new RegExp(`options.${name}`);
    assert.throws(() => tunnel.forwardRemote(options), { code, message });
    assert.throws(() => tunnel.forwardRemote(options, () => {}), { code, message });
  };
  const to = { forwardHost: 'localhost', forwardPort: 1 };
  assert.throws(() => tunnel.forwardRemote(), { code: 'ERR_INVALID_ARG_TYPE' });
  assert.throws(() => tunnel.forwardRemote(to, 5), { code: 'ERR_INVALID_ARG_TYPE' });
  refuses({ ...to, remoteHost: 5 }, 'ERR_INVALID_ARG_TYPE', 'remoteHost');
  refuses({ ...to, remotePort: '80' }, 'ERR_INVALID_ARG_TYPE', 'remotePort');
  refuses({ ...to, remotePort: 65_536 }, 'ERR_OUT_OF_RANGE', 'remotePort');
  refuses({ ...to, remotePort: 1, remotePath: '/run/a' }, 'ERR_INVALID_ARG_VALUE', 'remotePort');
  refuses({ ...to, remotePath: '' }, 'ERR_INVALID_ARG_VALUE', 'remotePath');
  refuses({ forwardHost: 'localhost' }, 'ERR_INVALID_ARG_TYPE', 'forwardPort');
  refuses({ ...to, forwardPath: '/run/b' }, 'ERR_INVALID_ARG_VALUE', 'forwardHost');
  refuses({ forwardPath: 'x'.repeat(108) }, 'ERR_INVALID_ARG_VALUE', 'forwardPath');
  assert.deepEqual(tunnel.forwards(), []);
});
