// Servers behind any number of jump hosts.

import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { after } from 'node:test';

import { test } from '../helpers/bounded.mjs';
import { makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { KIB, MIB, behaviors, connect, patternHash, refusingPort, settled } from '../helpers/peers.mjs';
import { Child, until } from '../helpers/process.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { EventLog, assertIncludes, makeTunnel, openTunnel, roundTrip } from '../helpers/tunnels.mjs';

const target = await Sshd.start();
const first = await Sshd.start();
const second = await Sshd.start();
const nobody = await refusingPort();
const folder = temporaryFolder('jump');
const otherKey = makeKey(`${folder.path}/otherKey`);
after(() => Promise.all([target.stop(), first.stop(), second.stop(), nobody.stop(), folder.remove()]));

/** A server that is reached through these hops. */
const behind = (hops, server = target) => ({
  login: { ...server.login, jump: hops.map((hop) => hop.login ?? hop) },
});

const failure = (tunnel) =>
  tunnel.promises.connect().then(
    () => undefined,
    (error) => error,
  );

/** The number of disconnects that a server has logged. */
const disconnects = (server) => (server.log().match(/Received disconnect from .*closed by the user/g) ?? []).length;

for (const hops of [[first], [first, second]]) {
  test(`${hops.length + 1} servers in a row: 16 MiB pass both ways`, async (t) => {
    const through = await openTunnel(t, behind(hops), behaviors.echo());
    await roundTrip(through, 16 * MIB);
  });
}

test('every server in a chain rekeys during a transfer', async (t) => {
  const config = { config: ['RekeyLimit 1M'], logLevel: 'DEBUG1' };
  const busy = await Promise.all([Sshd.start(config), Sshd.start(config)]);
  t.after(() => Promise.all(busy.map((server) => server.stop())));
  const [hop, server] = busy;
  await roundTrip(await openTunnel(t, behind([hop], server), behaviors.echo()), 16 * MIB);
  for (const each of busy) {
    assert.ok(each.log().match(/SSH2_MSG_NEWKEYS received/g).length > 10, 'few changes of keys');
  }
});

test('every server in a chain compresses', async (t) => {
  const algorithms = { compress: ['zlib@openssh.com'] };
  const { login } = behind([{ ...first.login, algorithms }]);
  await roundTrip(await openTunnel(t, { login }, behaviors.echo(), { algorithms }), 4 * MIB);
});

test('jump accepts a hop, a list of hops and an empty list', async (t) => {
  for (const jump of [first.login, [first.login], []]) {
    await makeTunnel(t, { ...target.login, jump }, 1).promises.connect();
  }
});

test('shutdown() ends every session, the last one first, and leaves no descriptor', async (t) => {
  const child = await Child.start('tunnel-process.mjs');
  t.after(() => child.stop());
  const options = { ...behind([first, second]).login, forwardHost: '127.0.0.1', forwardPort: 1 };
  // As many tunnels as the runtime may have threads, because threads stay.
  for (let thread = 0; thread < availableParallelism(); thread++) {
    await child.ask('listen', { ...target.login, forwardHost: '127.0.0.1', forwardPort: 1 });
    await child.ask('shutdown');
  }
  const { descriptors } = await child.ask('resources');
  const servers = [first, second, target];
  const before = servers.map(disconnects);
  const sessions = servers.map((server) => server.sessions().length);
  for (let turn = 1; turn <= 3; turn++) {
    await child.ask('listen', options);
    await child.ask('shutdown');
    assert.equal((await child.ask('resources')).descriptors, descriptors);
    // The first one gets its DISCONNECT, and nothing waits for it.
    for (const [at, server] of servers.entries()) await until(() => disconnects(server) === before[at] + turn);
  }
  for (const [at, server] of servers.entries()) {
    await until(() => server.sessions().length <= sessions[at]);
  }
});

test('a tunnel through two jump hosts has the descriptors of one without', async (t) => {
  const child = await Child.start('tunnel-process.mjs');
  t.after(() => child.stop());
  const direct = { ...target.login, forwardHost: '127.0.0.1', forwardPort: 1 };
  const used = async (options) => {
    await child.ask('listen', options);
    const { descriptors } = await child.ask('resources');
    await child.ask('shutdown');
    return descriptors;
  };
  // As many tunnels as the runtime may have threads, because threads stay.
  for (let thread = 0; thread < availableParallelism(); thread++) await used(direct);
  assert.equal(await used({ ...direct, ...behind([first, second]).login }), await used(direct));
});

test('a cancelled connect leaves nothing on a jump host', async (t) => {
  const mute = await Ssh2Server.start({ authenticate: () => {} });
  t.after(() => mute.stop());
  const tunnel = makeTunnel(t, { ...mute.login, jump: first.login, readyTimeout: 1000 }, 1);
  const before = disconnects(first);
  const error = await failure(tunnel);
  assert.equal(error.code, 'ETIMEDOUT');
  await first.logged(new RegExp(`(closed by the user[^]*){${before + 1}}`));
});

test('a stalled connection behind a jump host delays no other', async (t) => {
  const targets = await Child.start('peer-process.mjs');
  t.after(() => targets.stop());
  const ports = {
    fast: await targets.ask('behavior', 'endless', 256 * KIB),
    deaf: await targets.ask('behavior', 'idle'),
    echo: await targets.ask('behavior', 'echo'),
  };
  const dispatcher = await targets.ask('dispatcher', ports);
  const { login } = behind([first]);
  const tunnel = makeTunnel(t, login, dispatcher, { linger: false });
  await tunnel.promises.startListening();
  const clients = [];
  t.after(() => clients.forEach(({ socket }) => socket.destroy()));
  const open = async (name, how) => {
    const client = await connect(tunnel.localPort, how);
    clients.push(client);
    client.socket.write(`${name}\n`);
    return client;
  };
  for (let count = 0; count < 3; count++) {
    await open('fast', { read: false });
    (await open('deaf')).send(32 * MIB);
  }
  await settled(() => clients.reduce((sum, client) => sum + client.accepted, 0));
  const other = await open('echo');
  await other.send(4 * MIB);
  await other.received(4 * MIB);
  const [stalled] = clients;
  await stalled.read().received(8 * MIB);
});

/** A tunnel through two hops during a transfer to a client that has read a part. */
async function underWay(t) {
  const hops = await Promise.all([Sshd.start(), Sshd.start()]);
  t.after(() => Promise.all(hops.map((hop) => hop.stop())));
  const through = await openTunnel(t, behind(hops), behaviors.endless());
  const client = await through.connect();
  await client.received(4 * MIB);
  return { ...through, hops, client };
}

for (const at of [0, 1]) {
  test(`hop ${at + 1} of 2 dies during a transfer: delivered data, then RST`, async (t) => {
    const { eventLog, hops, client } = await underWay(t);
    hops[at].killSessions();
    const { bytes, sha256, end } = await client.ended;
    assert.equal(end, 'ECONNRESET');
    assert.equal(sha256, patternHash(bytes));
    const place = `jump host 127.0.0.1:${hops[at].port}: `;
    const report = await eventLog.next('disconnected');
    assertIncludes(report, { code: 'ERR_SSH_DISCONNECTED', clean: false, closedBy: 'reset', bytesDown: bytes });
    assert.ok(report.reason.includes(place), report.reason);
    const error = await eventLog.next('error');
    assert.equal(error.code, 'ERR_SSH_DISCONNECTED');
    assert.ok(error.message.startsWith(place), error.message);
    await eventLog.next('close');
  });
}

test('a tunnel reconnects through a lost hop', async (t) => {
  const hop = await Sshd.start();
  t.after(() => hop.stop());
  const login = { ...target.login, jump: hop.login, reconnect: { initialDelay: 10 } };
  const through = await openTunnel(t, { login }, behaviors.echo());
  await through.eventLog.next('ready');
  hop.killSessions();
  await through.eventLog.next('reconnecting');
  await through.eventLog.next('ready');
  await roundTrip(through, MIB);
});

test('an unresponsive hop is detected by its own keepalives', async (t) => {
  const hop = await Sshd.start();
  t.after(() => hop.stop());
  const jump = { ...hop.login, keepaliveInterval: 100, keepaliveCountMax: 2 };
  const tunnel = makeTunnel(t, { ...target.login, jump }, 1);
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.connect();
  hop.freezeSessions();
  t.after(() => hop.thawSessions());
  const error = await eventLog.next('error');
  assert.equal(error.code, 'ERR_SSH_DISCONNECTED');
  assert.match(error.message, new RegExp(`^jump host 127\\.0\\.0\\.1:${hop.port}: `));
});

test('an unreachable hop is an error that names it', async (t) => {
  const jump = [{ ...first.login, port: nobody.port }, second.login];
  const error = await failure(makeTunnel(t, { ...target.login, jump }, 1));
  assertIncludes(error, { code: 'ECONNREFUSED', syscall: 'connect', address: '127.0.0.1', port: nobody.port });
  const place = `127.0.0.1:${nobody.port}`;
  assert.equal(error.message, `jump host ${place}: connect ECONNREFUSED ${place}`);
});

test('a server that the hop cannot or must not reach is an error', async (t) => {
  const closed = await Sshd.start({ config: ['PermitOpen 192.0.2.1:1'] });
  t.after(() => closed.stop());
  const refusals = [
    [{ ...target.login, port: nobody.port, jump: [first.login, second.login] }, 'CONNECT_FAILED', second],
    [{ ...target.login, jump: closed.login }, 'ADMINISTRATIVELY_PROHIBITED', closed],
  ];
  for (const [login, code, hop] of refusals) {
    const error = await failure(makeTunnel(t, login, 1));
    assert.equal(error.code, `ERR_SSH_OPEN_${code}`);
    assert.ok(
      error.message.startsWith(`jump host 127.0.0.1:${hop.port}: it refused to connect to 127.0.0.1:`),
      error.message,
    );
    await hop.logged(/closed by the user/);
  }
});

test('a hop that does not answer the channel open times out', async (t) => {
  const hop = await Ssh2Server.start({ onOpen: () => {} });
  t.after(() => hop.stop());
  const error = await failure(makeTunnel(t, { ...target.login, jump: hop.login, readyTimeout: 500 }, 1));
  assert.equal(error.code, 'ETIMEDOUT');
  assert.match(error.message, /waiting for the jump host to connect$/);
});

test('a hop that closes the channel ends the session behind it', async (t) => {
  const hop = await Ssh2Server.start();
  t.after(() => hop.stop());
  const tunnel = makeTunnel(t, { ...target.login, jump: hop.login }, 1);
  const eventLog = new EventLog(tunnel);
  await tunnel.promises.connect();
  (await hop.nextChannel()).close();
  assert.equal((await eventLog.next('error')).code, 'ERR_SSH_DISCONNECTED');
  await eventLog.next('close');
  await hop.logged(/Received DISCONNECT/);
});

test('a hop with a wrong host key gets no user data and no channel open', async (t) => {
  const hop = await Ssh2Server.start();
  t.after(() => hop.stop());
  const jump = [first.login, { ...hop.login, hostKey: otherKey.fingerprint }];
  const error = await failure(makeTunnel(t, { ...target.login, jump }, 1));
  assert.equal(error.code, 'ERR_SSH_HOST_KEY');
  assert.ok(error.message.startsWith(`jump host 127.0.0.1:${hop.port}: `), error.message);
  await hop.logged(/Received DISCONNECT/);
  assert.equal(hop.sawAuthentication(), false);
  assert.equal(hop.channels.length, 0);
});

test("a hop gets its own credentials and none of the server's", async (t) => {
  const seen = [];
  const authenticate = (context) => {
    seen.push([context.username, context.method]);
    context.reject(['password', 'publickey']);
  };
  const hop = await Ssh2Server.start({ authenticate });
  t.after(() => hop.stop());
  const { host, port, hostKey } = hop.login;
  const login = { ...target.login, username: 'behind', password: 'of the target', tryKeyboard: true };
  const error = await failure(makeTunnel(t, { ...login, jump: { host, port, hostKey } }, 1));
  assert.equal(error.code, 'ERR_SSH_AUTH');
  assert.ok(error.message.startsWith(`jump host 127.0.0.1:${port}: `), error.message);
  assert.deepEqual(seen, [[target.login.username, 'none']]);
});

test("host keys of hops are checked by their own rules, else by the tunnel's hostVerifier", async (t) => {
  const without = ({ login: { hostKey, ...login } }) => login;
  const asked = [];
  const ask =
    (name) =>
    ({ host, port, ...more }) => {
      asked.push([name, host, port]);
      assert.deepEqual(Object.keys(more).sort(), ['fingerprint', 'key', 'type']);
      return true;
    };
  const jump = [
    without(first), // no rules of its own: keys that the default files lack go to the tunnel's verifier
    { ...without(second), hostVerifier: ask('of the hop') },
    first.login, // only its own hostKey
  ];
  const options = { ...without(target), jump, hostVerifier: ask('of the tunnel') };
  const tunnel = makeTunnel(t, options, 1);
  assert.throws(() => tunnel.connect(), { code: 'ERR_TUNNEL_WOULD_DEADLOCK' });
  await tunnel.promises.connect();
  assert.deepEqual(asked, [
    ['of the tunnel', '127.0.0.1', first.port],
    ['of the hop', '127.0.0.1', second.port],
    ['of the tunnel', '127.0.0.1', target.port],
  ]);
  const alone = makeTunnel(t, { ...target.login, jump: jump[1] }, 1);
  assert.throws(() => alone.connect(), { code: 'ERR_TUNNEL_WOULD_DEADLOCK' });
});
