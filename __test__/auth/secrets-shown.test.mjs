// No secret in what a program prints: errors, events, notices, warnings and inspected tunnels; nor in what the command
// writes and serves.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { inspect } from 'node:util';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { Setting } from '../helpers/cli.mjs';
import { makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { Ssh2Server } from '../helpers/ssh2-server.mjs';
import { Sshd } from '../helpers/sshd.mjs';

const folder = temporaryFolder('secrets-shown');
after(() => folder.remove());

test('errors, events, notices, warnings and inspected tunnels show no secrets', async (t) => {
  const value = `geheim-${randomBytes(36).toString('base64url')}`;
  const hidden = { toString: () => value, [inspect.custom]: () => value, value };
  const shown = [];
  const note = (...what) => {
    for (const one of what) {
      shown.push(
        inspect(one, { showHidden: true, depth: 9, getters: true }),
        String(one?.message ?? ''),
        String(one?.stack ?? ''),
      );
      shown.push(JSON.stringify(one) ?? '');
    }
  };
  const warned = (warning) => note(warning);
  process.on('warning', warned);
  t.after(() => process.off('warning', warned));

  const refused = await Ssh2Server.start({ authenticate: (context) => context.reject(['password', 'publickey']) });
  t.after(() => refused.stop());
  const { host, port, hostKey } = refused.login;
  const base = { host, port, hostKey, username: 'user', forwardHost: '127.0.0.1', forwardPort: 1 };
  const { privateKey } = makeKey(join(folder.path, 'shown'), { passphrase: value });
  const text = privateKey.replace('-----BEGIN', `${value}\n-----BEGIN`);
  const make = (more) => {
    try {
      const tunnel = new SSHTunnel({ ...base, ...more });
      for (const event of [
        'error',
        'banner',
        'debug',
        'reconnecting',
        'close',
        'sessionError',
        'keyboard-interactive',
      ]) {
        tunnel.on(event, (...what) => note(event, ...what));
      }
      note(tunnel, tunnel.configNotices);
      return tunnel;
    } catch (error) {
      note(error);
      return undefined;
    }
  };

  // A value of the wrong type for each option that takes a secret.
  for (const wrong of [
    hidden,
    [hidden],
    [value],
    { key: hidden },
    { key: value, passphrase: hidden },
    { key: value, certificate: hidden },
    () => value,
    Symbol(value),
  ]) {
    for (const name of ['password', 'privateKey', 'passphrase', 'certificate', 'sock', 'proxyCommand']) {
      make({ [name]: wrong });
      make({ jump: { ...base, [name]: wrong } });
      make({ jump: [base, { ...base, [name]: wrong }] });
    }
  }
  make({ hostKey: text });
  make({ agentKeys: [text] });
  make({ certificate: value });
  make({ privateKey: text, password: value, sessions: -1 });
  make({ privateKey: text, passphrase: value, jump: { ...base, password: value, jump: { password: value } } });

  // Secrets that a server or a file rejects.
  for (const more of [
    { password: value },
    { password: Buffer.from(value) },
    { privateKey: text },
    { privateKey: text, passphrase: `${value}x` },
    { privateKey: value },
    { privateKey: text, passphrase: value, certificate: value },
    { password: value, privateKey: text, passphrase: value, debug: note },
  ]) {
    const tunnel = make(more);
    await assert.rejects(tunnel.promises.connect(), (error) => {
      note(error);
      return true;
    });
    note(tunnel, await tunnel.promises.stats());
    await tunnel.promises.shutdown();
  }
  const tunnel = make({});
  for (const wrong of [hidden, 5, '', value.repeat(9)]) {
    try {
      note(tunnel.forwardDynamic({ localPort: 0, username: 'user', password: wrong }, note));
    } catch (error) {
      note(error);
    }
  }
  await tunnel.promises.shutdown();
  assert.ok(shown.length > 200);
  for (const one of shown) assert.ok(!one.includes(value) && !one.includes('geheim'), one);
});

const UNIX = { skip: process.platform === 'win32' && 'the program that asks is a script of a shell' };

test('the log of the command, its health checks and its metrics show no secrets', UNIX, async (t) => {
  const passphrase = `geheim-${randomBytes(36).toString('base64url')}`;
  const server = await Sshd.start();
  const setting = new Setting(server);
  t.after(() => Promise.all([server.stop(), setting.remove()]));
  const key = makeKey(setting.missing('locked'), { passphrase });
  server.authorize(key.publicKey);
  const askpass = setting.missing('askpass');
  writeFileSync(askpass, `#!/bin/sh\necho '${passphrase}'\n`, { mode: 0o700 });
  const args = ['-vvv', '--log-format', 'json', '--json', '--health', '0', '--metrics', '0', '-D', '127.0.0.1:0'];
  const env = { SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: 'force' };
  const child = setting.start(t, args, { key: key.file, env });
  const [, origin] = await child.says('stderr', /Serving (http:[^"]*)\/metrics/);
  await child.report('listening');
  const bodies = ['/readyz', '/livez', '/metrics'].map(async (path) => (await fetch(origin + path)).text());
  const served = await Promise.all(bodies);
  child.signal('SIGTERM');
  const { stdout, stderr } = await child.end();
  assert.match(stderr, /authentication: accepted/);
  const lines = key.privateKey.split('\n').filter((line) => /^[\w+/=]{40,}$/.test(line));
  for (const text of [...served, stdout, stderr])
    for (const part of [passphrase, 'geheim', ...lines]) assert.ok(!text.includes(part), text);
});
