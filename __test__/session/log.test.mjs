// The log of a tunnel: its lines, that none has a secret or controls a terminal, and their number in flight.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { readFileSync } from 'node:fs';
import { after } from 'node:test';

import { SSHTunnel } from '../../index.js';
import { Agent } from '../helpers/agents.mjs';
import { test } from '../helpers/bounded.mjs';
import { certifier, makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { hasPam, makePamService } from '../helpers/pam.mjs';
import { MIB, behaviors, refusingPort } from '../helpers/peers.mjs';
import { runModule } from '../helpers/process.mjs';
import { ScriptedProxy, serveHttp } from '../helpers/proxies.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { makeTunnel, openTunnel, roundTrip, withoutForward } from '../helpers/tunnels.mjs';

const folder = temporaryFolder('log');
const at = (name) => `${folder.path}/${name}`;
const authority = makeKey(at('authority'));
const server = await Sshd.start({ config: [`TrustedUserCAKeys ${authority.file}.pub`, 'MaxAuthTries 20'] });
const nobody = await refusingPort();
after(() => Promise.all([server.stop(), nobody.stop(), folder.remove()]));

/** Lines, and a function that waits for one. */
function logBook() {
  const lines = [];
  const waiting = [];
  const debug = (line) => {
    lines.push(line);
    for (const check of waiting) check();
  };
  const shows = (pattern) =>
    new Promise((resolve) => {
      const check = () => lines.some((line) => pattern.test(line)) && resolve();
      waiting.push(check);
      check();
    });
  return { lines, debug, shows };
}

/** That lines match these patterns in this order, with others in between. */
function assertOrder(lines, patterns) {
  let from = 0;
  for (const pattern of patterns) {
    const found = lines.findIndex((line, index) => index >= from && pattern.test(line));
    assert.ok(found >= 0, `${pattern} is missing from line ${from} on:\n${lines.join('\n')}`);
    from = found + 1;
  }
}

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');

test('the log shows each step of a handshake, a channel and the end', async (t) => {
  const { lines, debug, shows } = logBook();
  const { tunnel, ...through } = await openTunnel(t, server, behaviors.echo(), { debug });
  await roundTrip(through);
  await tunnel.promises.shutdown();
  await shows(/^closed$/);
  const place = escaped(`127.0.0.1:${server.port}`);
  const at = (text) => new RegExp(`^session 1: ${place}: ${text}`);
  const key = escaped(server.key.fingerprint);
  assertOrder(lines, [
    /^session 1: started$/,
    at('connects$'),
    at(`connected to ${place} from 127\\.0\\.0\\.1:\\d+$`),
    at('version: server SSH-2\\.0-OpenSSH_\\S+.*, client SSH-2\\.0-sshtunnel_\\S+$'),
    at(
      'key exchange [\\w@.-]+, strict, host key ssh-ed25519; to the server [\\w@.-]+, compression none; ' +
        'to the client [\\w@.-]+, compression none$',
    ),
    at(`host key: ssh-ed25519 ${escaped(server.hostKeys[0].fingerprint)}, trusted$`),
    at(`authentication: tries publickey ssh-ed25519 ${key} with ssh-ed25519, privateKey\\[0\\]$`),
    at(`authentication: accepted, publickey ssh-ed25519 ${key}`),
    /^session 1: ready after \d+ ms$/,
    at(`channel 0: opens to 127\\.0\\.0\\.1 port ${through.target.port}$`),
    at('channel 0: open$'),
    at('disconnect: closed by the user$'),
    /^session 1: ended$/,
    /^closed$/,
  ]);
});

test('refused keys, methods that are left, partial success and refused channels are in the log', async (t) => {
  const steps = await Sshd.start({ config: ['AuthenticationMethods publickey,publickey', 'Banner /etc/passwd'] });
  t.after(() => steps.stop());
  const [second, unknown] = [makeKey(at('second')), makeKey(at('unknown'), { type: 'ecdsa' })];
  steps.authorize(second.publicKey);
  const { lines, debug } = logBook();
  const privateKey = [unknown.privateKey, steps.key.privateKey, second.privateKey];
  const { tunnel } = withoutForward(t, steps.login, { privateKey, debug });
  await tunnel.promises.connect();
  const socket = tunnel.dial('127.0.0.1', nobody.port);
  await once(socket, 'error');
  const line = (text) => new RegExp(`^session 1: \\S+: ${text}`);
  assertOrder(lines, [
    line(`authentication: tries publickey ecdsa-sha2-nistp256 ${escaped(unknown.fingerprint)} .*privateKey\\[0\\]`),
    line('banner of \\d+ bytes'),
    line(`authentication: refused, .*${escaped(unknown.fingerprint)}.*; methods left: publickey$`),
    line(`authentication: partial success, .*${escaped(steps.key.fingerprint)}.*; methods left: publickey$`),
    line(`authentication: accepted, .*${escaped(second.fingerprint)}.*privateKey\\[2\\]`),
    line(`channel 0: opens to 127\\.0\\.0\\.1 port ${nobody.port}$`),
    line('channel 0: refused, connect failed: '),
  ]);
});

test('a new key exchange, a lost session, each wait and each attempt to reconnect are in the log', async (t) => {
  const lost = await Sshd.start();
  t.after(() => lost.stop());
  const { lines, debug, shows } = logBook();
  const options = { debug, rekey: { bytes: MIB }, reconnect: { initialDelay: 10, maxDelay: 50 } };
  const through = await openTunnel(t, lost, behaviors.echo(), options);
  await roundTrip(through, 2 * MIB);
  await lost.restart();
  await shows(/^session [2-9]\d*: ready after/);
  assertOrder(lines, [
    /: rekey: begins after \d+ bytes sent and \d+ received$/,
    /: key exchange done: new keys in both directions$/,
    /^session 1: disconnected: /,
    /^reconnect: attempt 1 in \d+ ms: /,
    /^session 2: started$/,
  ]);
});

test('a remote forward is in the log', async (t) => {
  const { lines, debug } = logBook();
  const { tunnel } = withoutForward(t, server.login, { debug });
  const forward = await tunnel.promises.forwardRemote({
    remoteHost: '127.0.0.1',
    forwardHost: '127.0.0.1',
    forwardPort: nobody.port,
  });
  const client = net.connect(forward.remotePort, '127.0.0.1');
  await once(client, 'close');
  assertOrder(lines, [
    /: remote forward: asks the server to listen on 127\.0\.0\.1 port 0$/,
    new RegExp(`: remote forward: the server listens on port ${forward.remotePort}$`),
    new RegExp(
      `: channel \\d+: the server opens it for 127\\.0\\.0\\.1 port ${forward.remotePort}, from 127\\.0\\.0\\.1$`,
    ),
  ]);
});

/** A secret, and the forms in which it could be written. */
function secretForms() {
  const secret = `geheim-${randomBytes(18).toString('base64url')}`;
  const bytes = Buffer.from(secret);
  const forms = [secret, bytes.toString('hex'), bytes.toString('base64').slice(0, -4), bytes.toString('base64url')];
  return { secret, forms: [...forms, encodeURIComponent(secret)] };
}

/** The lines of a private key's text, and its halves: what a copy of it would show. */
const body = (text) => text.split('\n').filter((line) => /^[\w+/=]{40,}$/.test(line));

test('no line has a secret, whatever authenticates', async (t) => {
  const { lines, debug } = logBook();
  const hidden = [];
  const hide = () => {
    const { secret, forms } = secretForms();
    hidden.push(...forms);
    return secret;
  };
  const connects = async (login, options) => {
    const tunnel = makeTunnel(t, login, 1, { ...options, debug });
    const before = lines.length;
    await tunnel.promises.connect();
    await tunnel.promises.shutdown();
    return lines.slice(before);
  };

  // A key, an encrypted one, and a certificate.
  hidden.push(...body(server.key.privateKey));
  await connects(server.login);
  const passphrase = hide();
  const encrypted = makeKey(at('encrypted'), { passphrase });
  hidden.push(...body(encrypted.privateKey));
  server.authorize(encrypted.publicKey);
  await connects(server.login, { privateKey: encrypted.privateKey, passphrase });
  const certified = makeKey(at('certified'));
  hidden.push(...body(certified.privateKey));
  const { username } = server.login;
  const certificate = readFileSync(certifier(authority, { kind: 'user', principals: username })(certified), 'utf8');
  const shown = await connects(server.login, { privateKey: certified.privateKey, certificate });
  const fingerprint = escaped(certified.fingerprint);
  assertOrder(shown, [new RegExp(`accepted, publickey ssh-ed25519 certificate ${fingerprint}`)]);

  // An agent.
  const agent = await Agent.start();
  t.after(() => agent.stop());
  const held = makeKey(at('held'));
  hidden.push(...body(held.privateKey));
  server.authorize(held.publicKey);
  agent.add(held.file);
  const asked = await connects(server.login, { privateKey: undefined, agent: agent.path });
  assertOrder(asked, [
    /authentication: tries the keys of the agent$/,
    new RegExp(`agent: has ssh-ed25519 ${escaped(held.fingerprint)}$`),
    /authentication: the server accepts .*, the agent signs$/,
    /authentication: accepted, .*, of the agent$/,
  ]);

  // A jump host, with a key of its own.
  const hop = { ...server.login, privateKey: encrypted.privateKey, passphrase };
  const through = await connects(server.login, { jump: hop });
  assertOrder(through, [/: connects through the jump host 127\.0\.0\.1:\d+$/, /: channel 0: opens to /, /: version: /]);

  // A proxy, which lets the client through or refuses it.
  const proxies = [
    await ScriptedProxy.start(serveHttp(server.port)),
    await ScriptedProxy.start(serveHttp(undefined, 'HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')),
  ];
  t.after(() => Promise.all(proxies.map((proxy) => proxy.stop())));
  for (const [index, { port }] of proxies.entries()) {
    const place = `127.0.0.1:${port}`;
    const asObject = { protocol: 'http', host: '127.0.0.1', port, username: 'anna', password: hide() };
    for (const proxy of [asObject, `http://anna:${hide()}@${place}`]) {
      const connecting = connects(server.login, { proxy });
      if (index === 0) assertOrder(await connecting, [/: asks the proxy to connect$/, /: version: /]);
      else await assert.rejects(connecting);
    }
  }

  // A password and prompts: first refused, then accepted.
  const [password, answer] = [hide(), hide()];
  const asking = await Ssh2Server.start({
    authenticate: (context) => {
      if (context.method === 'password')
        return context.password === password
          ? context.reject(['keyboard-interactive'], true)
          : context.reject(['password']);
      if (context.method !== 'keyboard-interactive') return context.reject(['password']);
      return context.prompt([{ prompt: 'Code: ', echo: false }], ([given]) =>
        given === answer ? context.accept() : context.reject(['keyboard-interactive']),
      );
    },
  });
  t.after(() => asking.stop());
  for (const [first, second] of [
    [hide(), answer],
    [password, hide()],
    [password, answer],
  ]) {
    const options = { privateKey: undefined, password: first, tryKeyboard: true, debug };
    const tunnel = makeTunnel(t, asking.login, 1, options);
    tunnel.on('keyboard-interactive', (_name, _instructions, _lang, _prompts, finish) => finish([second]));
    await tunnel.promises.connect().catch((error) => assert.equal(error.code, 'ERR_SSH_AUTH'));
    await tunnel.promises.shutdown();
  }
  assertOrder(lines.slice(-60), [
    /authentication: tries password$/,
    /authentication: partial success, password; methods left: keyboard-interactive$/,
    /authentication: tries keyboard-interactive$/,
    /authentication: round 1 of keyboard-interactive, 1 prompts$/,
    /authentication: accepted, keyboard-interactive$/,
  ]);

  // OpenSSH's server, with the password in a prompt of PAM.
  if (hasPam()) {
    const secret = hide();
    const pam = makePamService(secret);
    t.after(() => pam.remove());
    const config = ['UsePAM yes', 'KbdInteractiveAuthentication yes', 'PasswordAuthentication yes'];
    const real = await Sshd.start({ program: pam.program, config });
    t.after(() => real.stop());
    await connects(real.login, { privateKey: undefined, password: secret });
    await connects(real.login, { privateKey: undefined, password: secret, authHandler: ['keyboard-interactive'] });
  }

  assert.ok(lines.length > 100 && hidden.length > 30);
  const log = lines.join('\n');
  for (const one of hidden) assert.ok(!log.includes(one), `the log has ${one}:\n${log}`);
});

test('text of a server controls no terminal and forges no line', async (t) => {
  const hostile = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.end('SSH-2.0-\x1b[2J\x1b]0;title\x07\u{9b}31mred\u202e\r\n');
  });
  hostile.listen(0, '127.0.0.1');
  await once(hostile, 'listening');
  t.after(() => hostile.close());
  const { lines, debug } = logBook();
  const login = { ...server.login, port: hostile.address().port };
  const tunnel = makeTunnel(t, login, 1, { debug });
  await assert.rejects(tunnel.promises.connect());
  assertOrder(lines, [/version: server SSH-2\.0-\?\[2J\?\]0;title\?\?31mred\?, client/]);
  for (const line of lines) assert.doesNotMatch(line, /[\x00-\x1f\x7f-\x9f\u202a-\u202e]/);
});

test('lines that the event loop does not take in time are left out, and counted', async (t) => {
  const { lines, debug } = logBook();
  const { tunnel } = withoutForward(t, server.login, { debug });
  await tunnel.promises.connect();
  // Two lines each: above 2048 messages, lines are left out.
  const count = 2000;
  const failed = [];
  for (let index = 0; index < count; index++) failed.push(once(tunnel.dial('127.0.0.1', nobody.port), 'error'));
  const refused = () => server.log().split(`port ${nobody.port}: failed`).length - 1;
  // The event loop does not turn until lines of more than 2048 messages have been written.
  while (refused() < 1500);
  await Promise.all(failed);
  // The next line says what is missing.
  await once(tunnel.dial('127.0.0.1', nobody.port), 'error');
  const of = (pattern) => lines.map((line) => pattern.exec(line)).filter((match) => match !== null);
  const missing = of(/^(\d+) lines are left out here: the event loop is too slow$/).map(([, number]) => Number(number));
  assert.ok(missing.length > 0, `${lines.length} lines`);
  const sum = missing.reduce((a, b) => a + b);
  assert.equal(of(/: channel \d+: /).length + sum, 2 * (count + 1));
});

const PROGRAM = `
  import { SSHTunnel } from './index.js';
  const tunnel = new SSHTunnel(JSON.parse(process.argv.at(-1)));
  await tunnel.promises.connect();
  await tunnel.promises.shutdown();
`;

test('NODE_DEBUG=sshtunnel writes the log to standard error, and nothing else does', async () => {
  const { hostKey, host, port, username, privateKey } = server.login;
  const args = [JSON.stringify({ hostKey, host, port, username, privateKey })];
  const env = { ...process.env, NODE_DEBUG: 'http,sshtunnel' };
  const { stderr } = await runModule(PROGRAM, { args, env });
  assertOrder(stderr.split('\n'), [
    /^SSHTUNNEL \d+: tunnel \d+: session 1: started$/,
    /^SSHTUNNEL \d+: tunnel \d+: session 1: 127\.0\.0\.1:\d+: authentication: accepted, /,
  ]);
  const quiet = await runModule(PROGRAM, { args, env: { ...process.env, NODE_DEBUG: '' } });
  assert.equal(quiet.stderr, '');
});

test('debug has to be a function', () => {
  const make = (debug) => new SSHTunnel({ ...server.login, debug });
  for (const wrong of [true, null, 'yes', {}])
    assert.throws(() => make(wrong), { code: 'ERR_INVALID_ARG_TYPE', message: /"?options\.debug"? / });
});
