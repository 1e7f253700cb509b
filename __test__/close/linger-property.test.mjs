// getLinger() and setLinger(): accepted values, order of calls, and the connections that they apply to.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { KIB, behaviors, connect } from '../helpers/peers.mjs';
import { Child } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { assertIncludes, openTunnel } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
after(() => server.stop());

const unused = () => new SSHTunnel({ host: '127.0.0.1', forwardHost: '127.0.0.1', forwardPort: 1 });

const NOTHING = { l_onoff: 0, l_linger: 0 };
const HARD = { l_onoff: 1, l_linger: 0 };

test('getLinger() is true by default and returns the value set', async () => {
  const tunnel = unused();
  assert.equal(tunnel.getLinger(), true);
  assert.deepEqual(tunnel.getLingerOption(), NOTHING);
  assert.equal(tunnel.setLinger(false), undefined);
  assert.equal(tunnel.getLinger(), false);
  assert.deepEqual(tunnel.getLingerOption(), HARD);
  await new Promise((resolve, reject) => {
    tunnel.setLinger(true, (error) => (error ? reject(error) : resolve()));
  });
  assert.equal(tunnel.getLinger(), true);
  await tunnel.promises.setLinger(false);
  assert.equal(await tunnel.promises.getLinger(), false);
});

test('the constructor accepts a boolean and a structure', () => {
  const options = { host: '127.0.0.1', forwardHost: '127.0.0.1', forwardPort: 1 };
  assert.equal(new SSHTunnel({ ...options, linger: false }).getLinger(), false);
  assert.equal(new SSHTunnel({ ...options, linger: true }).getLinger(), true);
  assert.equal(new SSHTunnel({ ...options, linger: HARD }).getLinger(), false);
  assert.deepEqual(new SSHTunnel({ ...options, linger: NOTHING }).getLingerOption(), NOTHING);
});

test('a callback is called once, later, with null as error', async () => {
  const tunnel = unused();
  const calls = [];
  let returned = false;
  const called = new Promise((resolve) => {
    const result = tunnel.getLinger((...args) => {
      assert.equal(returned, true);
      calls.push(args);
      resolve();
    });
    assert.equal(result, undefined);
    returned = true;
  });
  await called;
  await new Promise((resolve) => tunnel.getLinger(resolve)); // later than anything of the first
  assert.equal(calls.length, 1);
  assert.deepEqual(calls[0], [null, true]);
});

test('a blocking call sees the effect of queued calls', () => {
  const tunnel = unused();
  for (let turn = 0; turn < 1000; turn++) {
    const value = turn % 2 === 0;
    tunnel.setLinger(value, () => {});
    assert.equal(tunnel.getLinger(), value);
  }
});

test('100,000 mixed calls keep their order', async () => {
  const tunnel = unused();
  const total = 100_000;
  const order = [];
  let current = true;
  let callbacks = 0;
  let seed = 1;
  const finished = new Promise((resolve, reject) => {
    const note = (number, expected) => (error, data) => {
      if (error) return reject(error);
      order.push(number);
      if (expected !== undefined && data !== expected) {
        return reject(new Error(`call ${number}: ${data}, not ${expected}`));
      }
      if (number === total) resolve();
    };
    for (let call = 0; call < total; call++) {
      seed = (seed * 48_271) % 2_147_483_647;
      const kind = seed % 4;
      const value = seed % 8 < 4;
      if (kind === 0) {
        current = value;
        callbacks++;
        tunnel.setLinger(value, note(call));
      } else if (kind === 1) {
        callbacks++;
        tunnel.getLinger(note(call, current));
      } else if (kind === 2) {
        current = value;
        tunnel.setLinger(value);
      } else {
        const got = tunnel.getLinger();
        if (got !== current) return reject(new Error(`blocking call ${call}: ${got}`));
      }
    }
    tunnel.getLinger(note(total, current));
  });
  await finished;
  assert.equal(order.length, callbacks + 1);
  for (let at = 1; at < order.length; at++) {
    if (order[at] <= order[at - 1]) assert.fail(`callback ${order[at]} came after ${order[at - 1]}`);
  }
});

const WRONG_TYPES = [[], [undefined], [null], ['yes'], [1], [0], [NaN], [{}], [HARD]];

test('setLinger() rejects anything but a boolean and changes nothing', async () => {
  const tunnel = unused();
  tunnel.setLinger(false);
  for (const args of WRONG_TYPES) {
    const refused = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
    assert.throws(() => tunnel.setLinger(...args), refused, `setLinger(${args})`);
    await assert.rejects(async () => tunnel.promises.setLinger(...args), refused);
    assert.equal(tunnel.getLinger(), false);
  }
});

test('an invalid value with a callback throws and does not call back', async () => {
  const tunnel = unused();
  const called = [];
  const callback = (...args) => called.push(args);
  const refused = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
  assert.throws(() => tunnel.setLinger('yes', callback), refused);
  for (const wrong of [5, 'callback', {}, null, true]) {
    assert.throws(() => tunnel.setLinger(false, wrong), refused, String(wrong));
    assert.throws(() => tunnel.getLinger(wrong), refused, String(wrong));
  }
  assert.equal(tunnel.getLinger(), true);
  await tunnel.promises.getLinger(); // later than any callback that the calls above had queued
  assert.deepEqual(called, []);
});

test('the error names the argument and the value', () => {
  assert.throws(
    () => unused().setLinger('yes'),
    (error) => {
      assert.match(error.message, /"linger".*boolean/);
      assert.match(error.message, /'yes'/);
      return true;
    },
  );
});

test('setLingerOption() accepts integers from 0 to 65535 only', () => {
  const tunnel = unused();
  const type = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
  const range = { name: 'RangeError', code: 'ERR_OUT_OF_RANGE' };
  for (const wrong of [undefined, null, true, 5, 'x', {}, { l_onoff: 1 }, { l_linger: 1 }]) {
    assert.throws(() => tunnel.setLingerOption(wrong), type, JSON.stringify(wrong));
  }
  for (const member of ['l_onoff', 'l_linger']) {
    for (const wrong of [true, '1', null, undefined]) {
      assert.throws(() => tunnel.setLingerOption({ ...NOTHING, [member]: wrong }), type);
    }
    for (const wrong of [-1, 65536, 1.5, NaN, Infinity]) {
      assert.throws(() => tunnel.setLingerOption({ ...NOTHING, [member]: wrong }), range, `${wrong}`);
    }
  }
  assert.deepEqual(tunnel.getLingerOption(), NOTHING);
  tunnel.setLingerOption(HARD);
  assert.equal(tunnel.getLinger(), false);
});

test('KeepAlive is a property like Linger', async () => {
  const tunnel = unused();
  assert.equal(tunnel.getKeepAlive(), false);
  tunnel.setKeepAlive(true);
  assert.equal(await tunnel.promises.getKeepAlive(), true);
  const refused = { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' };
  assert.throws(() => tunnel.setKeepAlive(1), refused);
  assert.throws(() => tunnel.setKeepAlive(), refused);
  assert.equal(tunnel.getKeepAlive(), true);
});

test('setLinger() applies only to connections accepted later', async (t) => {
  const { tunnel, eventLog, connect } = await openTunnel(t, server, behaviors.echo());
  const expected = [true, false, true, false];
  const clients = [];
  for (const linger of expected) {
    tunnel.setLinger(linger);
    const client = await connect();
    const { connectionId } = await eventLog.next('connection');
    clients.push({ client, connectionId, linger });
  }
  const structures = (await tunnel.promises.connections()).map(({ linger }) => linger);
  assert.deepEqual(structures, [NOTHING, HARD, NOTHING, HARD]);
  // The current value applies to none of them.
  for (const { client, connectionId, linger } of clients) {
    await client.send(KIB);
    await client.received(KIB);
    client.ended.then(() => client.end());
    await tunnel.promises.disconnect(connectionId);
    assertIncludes(await client.ended, { bytes: KIB, end: linger ? 'FIN' : 'ECONNRESET' });
    assertIncludes(await eventLog.next('disconnected'), {
      connectionId,
      closedBy: linger ? 'graceful' : 'reset',
      linger: linger ? NOTHING : HARD,
    });
  }
});

for (const linger of [true, false]) {
  test(`connections in the backlog get the Linger of their accept: ${linger}`, async (t) => {
    // A socket inherits its listener's linger when it is connected, not when it is accepted. A tunnel
    // without a free descriptor cannot accept, so its connections wait in the backlog.
    const targets = await Child.start('peer-process.mjs');
    t.after(() => targets.stop());
    const forwardPort = await targets.ask('behavior', 'echo');
    const crowded = await Child.start('few-descriptors-process.mjs', { descriptors: 100 });
    t.after(() => crowded.stop());
    const port = await crowded.ask('open', { ...server.login, forwardPort, linger: !linger });
    await crowded.ask('takeAllDescriptors');
    const client = await connect(port);
    t.after(() => client.socket.destroy());
    await crowded.ask('setLinger', linger);
    await crowded.ask('freeDescriptors');
    await client.send(KIB);
    await client.received(KIB);
    client.ended.then(() => client.end());
    const end = await crowded.ask('disconnect');
    assertIncludes(await client.ended, { bytes: KIB, end: linger ? 'FIN' : 'ECONNRESET' });
    assertIncludes(end, { linger: linger ? NOTHING : HARD });
  });
}
