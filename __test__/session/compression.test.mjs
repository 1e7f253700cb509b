// Compression, with servers that support it and with one that does not.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { IGNORE, message } from '../helpers/messages.mjs';
import { KIB, MIB, behaviors } from '../helpers/peers.mjs';
import { Relay } from '../helpers/relay.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, assertIncludes, makeTunnel, openTunnel, roundTrip } from '../helpers/tunnels.mjs';

const SIZE = 16 * MIB;
const ZLIB = 'zlib@openssh.com';
const compress = { algorithms: { compress: [ZLIB] } };

const server = await Sshd.start({ logLevel: 'DEBUG1' });
const changing = await Sshd.start({ logLevel: 'DEBUG1', config: ['RekeyLimit 4M'] });
const never = await Sshd.start({ config: ['Compression no'] });
const ssh2 = await Ssh2Server.start({ algorithms: { compress: [ZLIB, 'none'] } });
after(() => Promise.all([server.stop(), changing.stop(), never.stop(), ssh2.stop()]));

/** What both directions of each key exchange since `before` agreed on. */
function agreed(sshd, before) {
  return sshd
    .log()
    .slice(before)
    .match(/(?<=kex: .*compression: )\S+/g);
}

test('16 MiB pass both ways with compression', async (t) => {
  const before = server.log().length;
  await roundTrip(await openTunnel(t, server, behaviors.echo(), compress), SIZE);
  assert.deepEqual(agreed(server, before), [ZLIB, ZLIB]);
  assert.match(server.log().slice(before), /Enabling compression at level/);
});

test('16 MiB pass both ways with compression and rekeying', async (t) => {
  const before = changing.log().length;
  const open = await openTunnel(t, changing, behaviors.echo(), compress);
  await roundTrip(open, SIZE);
  await roundTrip(open, SIZE);
  const methods = agreed(changing, before);
  assert.ok(methods.length >= 8 && methods.every((name) => name === ZLIB), `${methods}`);
});

test('16 MiB pass both ways with compression at an ssh2 server', async (t) => {
  await roundTrip(await openTunnel(t, ssh2, behaviors.echo(), compress), SIZE);
  for (const way of ['C->S', 'S->C']) {
    assert.ok(ssh2.lines.some((line) => line.endsWith(`Handshake: ${way} compression: ${ZLIB}`)));
  }
});

test('compressible data is compressed both ways', async (t) => {
  const relay = await Relay.start(server.port);
  t.after(() => relay.stop());
  const login = { ...server.login, port: relay.port };
  const { eventLog, connect } = await openTunnel(t, { login }, behaviors.echo(), compress);
  const client = await connect();
  await client.send(SIZE, Buffer.alloc(64 * KIB));
  client.end();
  assertIncludes(await client.ended, { bytes: SIZE, end: 'FIN' });
  assertIncludes(await eventLog.next('disconnected'), { code: 'OK', bytesUp: SIZE, bytesDown: SIZE });
  assert.ok(relay.fromClient < SIZE / 20 && relay.fromServer < SIZE / 20);
});

test('compression is off by default', async (t) => {
  const before = server.log().length;
  await makeTunnel(t, server.login, 9).promises.connect();
  assert.deepEqual(agreed(server, before), ['none', 'none']);
});

test('a server without compression is an error, unless compression is optional', async (t) => {
  await assert.rejects(makeTunnel(t, never.login, 9, compress).promises.connect(), {
    code: 'ERR_SSH_ALGORITHM',
    message: `no compression in common: the server offers none; this client offers ${ZLIB}`,
  });
  const prepend = { algorithms: { compress: { prepend: ZLIB } } };
  await makeTunnel(t, never.login, 9, prepend).promises.connect();
});

test('a packet that decompresses beyond the limit ends the session', async (t) => {
  let session;
  const bomber = await Ssh2Server.start({
    algorithms: { compress: [ZLIB] },
    authenticate: (context, own) => {
      session = own;
      context.accept();
    },
  });
  t.after(() => bomber.stop());
  const tunnel = makeTunnel(t, bomber.login, 9, compress);
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.connect();
  session.send(message(IGNORE, Buffer.alloc(20 * MIB)));
  const { code, message: text } = await eventLog.next('error');
  assert.deepEqual([code, /too long when it is decompressed/.test(text)], ['ERR_SSH_PROTOCOL', true], text);
  await eventLog.next('close');
});
