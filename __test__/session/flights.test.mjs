// What is sent without waiting for an answer: each wait costs a round trip.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { Cli, Setting, echo } from '../helpers/cli.mjs';
import { makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { READABLE, Relay } from '../helpers/relay.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { withoutForward } from '../helpers/tunnels.mjs';

const server = await Sshd.start();
const folder = temporaryFolder('flights');
after(() => Promise.all([server.stop(), folder.remove()]));

/** A relay that holds what the server sends after the key exchange, its answer to the authentication included. */
async function holding(t, port = server.port) {
  const relay = await Relay.start(port, ({ name, bytes }) => (name === 'sealed' ? null : bytes));
  t.after(() => relay.stop());
  return relay;
}

/** A tunnel to this port of the server. */
const through = (t, { port }, options = {}) =>
  withoutForward(t, { ...server.login, port }, { algorithms: READABLE, ...options }).tunnel;

test('a connection that waits for the session is opened in the flight of the authentication', async (t) => {
  const target = await echo(t);
  const tunnel = through(t, await holding(t));
  tunnel.dial('127.0.0.1', target.port).on('error', () => {});
  // The client has no answer to its request yet.
  await target.next();
});

test('-W is opened in the flight of the authentication', async (t) => {
  const setting = new Setting(server);
  t.after(() => setting.remove());
  const target = await echo(t);
  const { port } = await holding(t);
  const to = `127.0.0.1:${target.port}`;
  const options = ['-o', `HostKeyAlias=${server.address}`, '-c', READABLE.cipher[0], '-p', String(port)];
  Cli.start(t, [...options, '-W', to, ...setting.options(), '127.0.0.1']);
  await target.next();
});

test('a jump host connects in the flight of its authentication', async (t) => {
  const next = net.createServer().listen(0, '127.0.0.1');
  t.after(() => next.close());
  await once(next, 'listening');
  const { port } = await holding(t);
  const hop = { ...server.login, port, algorithms: READABLE };
  const tunnel = through(t, next.address(), { jump: [hop] });
  tunnel.connect(() => {});
  const [socket] = await once(next, 'connection');
  socket.destroy();
});

test('a connection is opened after all, if the request before it is not granted', async (t) => {
  const strict = await Sshd.start({ config: ['AuthenticationMethods publickey,publickey'] });
  t.after(() => strict.stop());
  const second = makeKey(`${folder.path}/second`);
  strict.authorize(second.publicKey);
  const target = await echo(t);
  const privateKey = [strict.login.privateKey, second.privateKey];
  const tunnel = through(t, strict, { ...strict.login, privateKey });
  const socket = tunnel.dial('127.0.0.1', target.port);
  socket.write('there');
  assert.equal(String((await once(socket, 'data'))[0]), 'there');
  // The server has refused the message that it got too early, and went on.
  assert.match(strict.log(), /dispatch_protocol_error: type 90 .*\[preauth\]/);
  socket.destroy();
  await once(socket, 'close');
});
