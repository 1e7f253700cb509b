// Banners and other texts that a server sends before authentication, and what the tunnel sends in return.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { Cli } from '../helpers/cli.mjs';
import { makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { USERAUTH_BANNER, message } from '../helpers/messages.mjs';
import {
  CHANNEL_OPEN_CONFIRMATION,
  DISCONNECT,
  ScriptedServer,
  USERAUTH_FAILURE,
  USERAUTH_SUCCESS,
  Values,
} from '../helpers/scripted-server.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';

const folder = temporaryFolder('banners');
process.on('exit', () => folder.remove());

async function serve(t, script) {
  const server = await ScriptedServer.start(script);
  t.after(() => server.stop());
  return server;
}

function tunnelTo(t, options) {
  const tunnel = new SSHTunnel({ readyTimeout: 15_000, ...options });
  t.after(() => tunnel.promises.shutdown());
  tunnel.on('error', () => {});
  return tunnel;
}

/** The banners that a tunnel emits. */
function banners(tunnel) {
  const told = [];
  tunnel.on('banner', (...banner) => told.push(banner));
  return told;
}

test("the 'banner' event arrives while the server still waits for authentication", async (t) => {
  let letIn;
  const server = await serve(t, {
    authenticate: (session) => {
      session.send(USERAUTH_BANNER, 'visit https://login.example/1\r\n\x1b[2J\tnow\n', 'en');
      letIn = () => session.send(USERAUTH_SUCCESS);
    },
  });
  const tunnel = tunnelTo(t, server.login);
  const connected = tunnel.promises.connect();
  const banner = await once(tunnel, 'banner');
  assert.deepEqual(banner, [
    'visit https://login.example/1\n?[2J\tnow\n',
    'en',
    { host: '127.0.0.1', port: server.port },
  ]);
  letIn();
  await connected;
});

test('a banner of the maximum length of OpenSSH is accepted, a longer one is an error', async (t) => {
  // The packet also has the message number, two lengths, the padding and its length.
  for (const [length, taken] of [
    [100_000, true],
    [262_100, true],
    [262_144, false],
  ]) {
    const server = await serve(t, {
      authenticate: (session) => {
        session.send(USERAUTH_BANNER, 'x'.repeat(length), '');
        session.send(USERAUTH_SUCCESS);
      },
    });
    const tunnel = tunnelTo(t, server.login);
    const told = banners(tunnel);
    if (taken) {
      await tunnel.promises.connect();
      assert.deepEqual(
        told.map(([text]) => text.length),
        [length],
      );
    } else {
      await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_PROTOCOL' });
    }
  }
});

/** A jump host that leads to another scripted server. */
async function jumpHost(t, authenticate) {
  return serve(t, {
    authenticate,
    open: (session, { channel, values }) => {
      values.number();
      values.number();
      const [host, port] = [values.text(), values.number()];
      const socket = net.connect({ host, port }, () =>
        session.send(CHANNEL_OPEN_CONFIRMATION, channel, 0, 1 << 21, 32_768),
      );
      socket.on('data', (bytes) => session.send(message(94, channel, bytes.length, bytes)));
      socket.on('error', () => {});
      session.pipe = socket;
      return true;
    },
    other: (session, payload) => {
      if (payload[0] !== 94) return;
      const values = new Values(payload);
      values.number();
      session.pipe.write(values.bytes());
    },
  });
}

test('banners of jump hosts name the host that sent them', async (t) => {
  const show = (text) => (session) => {
    session.send(USERAUTH_BANNER, text, '');
    session.send(USERAUTH_SUCCESS);
  };
  const hop = await jumpHost(t, show('at the door\n'));
  const server = await serve(t, { authenticate: show('inside\n') });
  const tunnel = tunnelTo(t, { ...server.login, jump: [hop.login] });
  const told = banners(tunnel);
  await tunnel.promises.connect();
  assert.deepEqual(told, [
    ['at the door\n', '', { host: '127.0.0.1', port: hop.port }],
    ['inside\n', '', { host: '127.0.0.1', port: server.port }],
  ]);
});

test('an authentication error has the last banners', async (t) => {
  const refuse = (session) => {
    session.send(USERAUTH_BANNER, 'closed for\r\nmaintenance\r\n', '');
    session.send(USERAUTH_FAILURE, 'publickey', Buffer.of(0));
  };
  const server = await serve(t, { authenticate: refuse });
  const error = await tunnelTo(t, server.login)
    .promises.connect()
    .catch((reason) => reason);
  assert.equal(error.code, 'ERR_SSH_AUTH');
  assert.match(error.message, /; the server said: "closed for maintenance"$/);
  assert.equal(error.banner, 'closed for\nmaintenance\n');

  const hop = await serve(t, { authenticate: refuse });
  const atHop = await tunnelTo(t, { ...server.login, jump: [hop.login] })
    .promises.connect()
    .catch((reason) => reason);
  assert.equal(atHop.code, 'ERR_SSH_AUTH');
  assert.match(atHop.message, /^jump host 127\.0\.0\.1:\d+: .*closed for maintenance/);
  assert.equal(atHop.banner, 'closed for\nmaintenance\n');
});

test('a timeout error during authentication has the last banners', async (t) => {
  const server = await serve(t, {
    authenticate: (session) => session.send(USERAUTH_BANNER, 'approve on your phone', ''),
  });
  const error = await tunnelTo(t, { ...server.login, readyTimeout: 1000 })
    .promises.connect()
    .catch((reason) => reason);
  assert.equal(error.code, 'ETIMEDOUT');
  assert.match(error.message, /approve on your phone/);
  assert.equal(error.banner, 'approve on your phone\n');
});

test('lines before the identification string are in the error when the server disconnects', async (t) => {
  for (const [said, quoted] of [
    ['Exceeded MaxStartups\r\n', 'Exceeded MaxStartups'],
    ['first\nNot allowed at this time', 'first Not allowed at this time'],
    ['\x9b31m\u202eno\r\n', '.*no'],
  ]) {
    const server = await serve(t, { connected: ({ socket }) => socket.end(said) });
    const error = await tunnelTo(t, server.login)
      .promises.connect()
      .catch((reason) => reason);
    assert.equal(error.code, 'ERR_SSH_DISCONNECTED');
    assert.match(error.message, new RegExp(`; the server said: "${quoted}"$`));
    assert.doesNotMatch(error.message, /[\p{Cc}\p{Cf}]/u);
  }
  const server = await serve(t, { connected: ({ socket }) => socket.write('wait for it\n') });
  const error = await tunnelTo(t, { ...server.login, readyTimeout: 500 })
    .promises.connect()
    .catch((reason) => reason);
  assert.equal(error.code, 'ETIMEDOUT');
  assert.match(error.message, /wait for it/);
});

/** Every control, invisible and bidirectional character that Node knows, except what text needs. */
const HARMFUL = Array.from({ length: 0x11_0000 }, (_, code) => code)
  .filter((code) => code < 0xd800 || code > 0xdfff)
  .map((code) => String.fromCodePoint(code))
  .filter((character) => /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(character) && !/[\n\t\r\u200c\u200d]/.test(character));

test('texts from a server lose control, invisible and bidirectional characters', async (t) => {
  const hostile = HARMFUL.map((character) => `a${character}`).join('');
  const server = await serve(t, {
    authenticate: (session) => {
      session.send(USERAUTH_BANNER, hostile, hostile);
      session.send(DISCONNECT, 2, `z${hostile.slice(-200)}`, '');
    },
  });
  const tunnel = tunnelTo(t, server.login);
  const told = banners(tunnel);
  const error = await tunnel.promises.connect().catch((reason) => reason);
  const [[text, language]] = told;
  assert.equal(text, 'a?'.repeat(HARMFUL.length));
  for (const shown of [language, error.message, error.banner.replaceAll('\n', '')]) {
    assert.ok(shown.length > 0);
    assert.doesNotMatch(shown, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  }
});

test('a failed authentication sends the server no local details', async (t) => {
  const said = [];
  const server = await serve(t, {
    authenticate: (session) => session.send(USERAUTH_FAILURE, 'publickey,password', Buffer.of(0)),
    other: (session, payload) => {
      if (payload[0] !== DISCONNECT) return;
      const values = new Values(payload);
      said.push([values.number(), values.text(), values.text()]);
    },
  });
  const agent = `${folder.path}/agent.sock`;
  const { privateKey } = makeKey(`${folder.path}/key`);
  const tunnel = tunnelTo(t, { ...server.login, username: 'alice', agent, privateKey });
  await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_AUTH', message: /alice.*agent/ });
  await server.sessions[0].closed;
  assert.deepEqual(said.splice(0), [[14, 'no more authentication methods', '']]);

  await assert.rejects(tunnelTo(t, { ...server.login, hostKey: `SHA256:${'A'.repeat(43)}` }).promises.connect(), {
    code: 'ERR_SSH_HOST_KEY',
  });
  await server.sessions[1].closed;
  assert.deepEqual(said, [[9, 'host key not accepted', '']]);
});

test('the command prints banners as ssh does', async (t) => {
  const server = await serve(t, {
    authenticate: (session) => {
      session.send(USERAUTH_BANNER, 'AUTHORIZED USE ONLY\r\n\x1b]0;title\x07second line\n', '');
      session.send(USERAUTH_SUCCESS);
    },
  });
  const knownHosts = makeKnownHosts(server);
  const start = (...more) =>
    Cli.start(t, [
      '-F',
      'none',
      '-p',
      String(server.port),
      '-o',
      `UserKnownHostsFile=${knownHosts}`,
      '-o',
      'GlobalKnownHostsFile=none',
      '-o',
      'UpdateHostKeys=no',
      '-o',
      'IdentityAgent=none',
      '-o',
      'BatchMode=yes',
      ...more,
      '-N',
      'user@127.0.0.1',
    ]);
  const shown = start('-o', 'LogLevel=INFO');
  await shown.says('stderr', /^AUTHORIZED USE ONLY\n\?\]0;title\?second line\n/m);

  for (const more of [['-q'], ...['QUIET', 'FATAL', 'ERROR'].map((level) => ['-o', `LogLevel=${level}`])]) {
    const silent = start('--json', ...more);
    const report = await silent.report('banner');
    assert.equal(report.message, 'AUTHORIZED USE ONLY\n?]0;title?second line\n');
    await silent.report('ready');
    assert.equal(silent.stderr, '');
  }
});

function makeKnownHosts(server) {
  const file = `${folder.path}/known_hosts-${server.port}`;
  fs.writeFileSync(file, `[127.0.0.1]:${server.port} ${server.publicKey}\n`);
  return file;
}

test('a flood of banners does not grow memory', async (t) => {
  const banner = message(USERAUTH_BANNER, 'x'.repeat(200_000), '');
  const server = await Ssh2Server.start({ authenticate: (context, session) => session.flood(banner) });
  t.after(() => server.stop());
  const tunnel = tunnelTo(t, server.login);
  let bytes = 0;
  tunnel.on('banner', (text) => (bytes += text.length));
  await assert.rejects(tunnel.promises.connect(), { code: 'ERR_SSH_PROTOCOL', message: /too many banners/ });
  assert.ok(bytes <= 1024 * 1024, `${bytes}`);
});
