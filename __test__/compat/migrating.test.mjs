// The programs in docs/migrating.md work as printed, except for names and ports.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

import ssh2 from 'ssh2';

import { SSHTunnel } from '../../index.js';
import { test } from '../helpers/bounded.mjs';
import { findProgram } from '../helpers/ensure-sshd.mjs';
import { Target, behaviors, connect, refusingPort } from '../helpers/peers.mjs';
import { ROOT } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { KnownHosts } from '../helpers/trust.mjs';
import { ask, close, happened } from '../helpers/tunnel-ssh.mjs';

const sshd = await Sshd.start();
const target = await Target.start(behaviors.echo());
const files = new KnownHosts();
after(async () => {
  await Promise.all([sshd.stop(), target.stop()]);
  files.remove();
});

const page = readFileSync(join(ROOT, 'docs', 'migrating.md'), 'utf8');
const programs = [...page.matchAll(/^```js\n(.*?)^```/gms)].map(([, program]) => program);
const AsyncFunction = (async () => {}).constructor;

/** Runs the program of the page that contains this text, with these variables; returns the requested ones. */
function live(text, variables, wanted) {
  const [program, ...others] = programs.filter((each) => each.includes(text));
  assert.equal(others.length, 0);
  const fitting = program
    .replaceAll('db.internal', '127.0.0.1')
    .replace(/\b5432\b/, String(target.port))
    .replace(/\b15432\b/, '0');
  return new AsyncFunction(...Object.keys(variables), `${fitting}\nreturn ${wanted};`)(...Object.values(variables));
}

test('docs/migrating.md: createTunnel under its own name', async () => {
  const require = createRequire(import.meta.url);
  const forwardOptions = { dstAddr: '127.0.0.1', dstPort: target.port };
  const variables = { require, tunnelOptions: {}, serverOptions: {}, sshOptions: sshd.login, forwardOptions };
  const server = await live('createTunnel', variables, 'server');
  await ask(server.address().port);
  await close(server);
});

test('docs/migrating.md: forwardOut and its replacement', async () => {
  const client = new ssh2.Client();
  let server;
  const variables = {
    net: { createServer: (listener) => (server = net.createServer(listener)) },
    client,
    config: sshd.login,
  };
  const ready = happened(client, 'ready');
  await live('forwardOut', variables, 'undefined');
  await ready;
  await ask(server.address().port);
  await close(server);
  client.end();

  const tunnel = await live('new SSHTunnel', { SSHTunnel, config: sshd.login }, 'tunnel');
  await ask(tunnel.localPort);
  await tunnel.close();
});

/** An ssh_config file with a server under the name in the page. */
function configFile() {
  return files.file(
    'Host bastion',
    'HostName 127.0.0.1',
    `Port ${sshd.port}`,
    `IdentityFile ${sshd.key.file}`,
    'IdentityAgent none',
    `UserKnownHostsFile ${files.file(`${sshd.address} ${sshd.hostKeys[0].publicKey}`)}`,
    'GlobalKnownHostsFile none',
  );
}

test('docs/migrating.md: ssh -L and its replacement', async (t) => {
  const config = configFile();
  const nobody = await refusingPort();
  t.after(() => nobody.stop());
  const fromConfig = (forward) => (host, overrides) =>
    SSHTunnel.fromConfig(host, { ...overrides, username: userInfo().username, configFile: config, ...forward });
  const open = (forward) => live('fromConfig', { SSHTunnel: { fromConfig: fromConfig(forward) } }, 'tunnel');

  const tunnel = await open();
  const refusing = await open({ forwardPort: nobody.port });
  const peer = await connect(tunnel.localPort);
  await peer.send(1);
  await peer.received(1);
  assert.equal((await (await connect(refusing.localPort)).ended).end, 'ECONNRESET');
  const closed = [tunnel, refusing].map((each) => each.on('error', () => {}) && happened(each, 'close'));
  sshd.killSessions();
  assert.equal((await peer.ended).end, 'ECONNRESET');
  await Promise.all(closed);

  const ssh = await startSsh(t, config, nobody.port);
  const other = await connect(ssh.ports[0]);
  await other.send(1);
  await other.received(1);
  assert.equal((await (await connect(ssh.ports[1])).ended).end, 'FIN');
  const ended = once(ssh.child, 'exit');
  sshd.killSessions();
  assert.equal((await other.ended).end, 'FIN');
  await ended;
});

/** `ssh -L` to the echo and to a port that refuses, once it listens. */
async function startSsh(t, config, refusing) {
  const holders = [await Target.start(), await Target.start()];
  await Promise.all(holders.map((holder) => holder.stop()));
  const ports = holders.map(({ port }) => port);
  const child = spawn(
    findProgram('ssh'),
    [
      '-F',
      config,
      '-N',
      '-o',
      'BatchMode=yes',
      '-o',
      'PermitLocalCommand=yes',
      '-o',
      'LocalCommand=echo true',
      '-o',
      'ExitOnForwardFailure=yes',
      '-L',
      `127.0.0.1:${ports[0]}:127.0.0.1:${target.port}`,
      '-L',
      `127.0.0.1:${ports[1]}:127.0.0.1:${refusing}`,
      'bastion',
    ],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  t.after(() => child.kill());
  await once(child.stdout, 'data');
  return { child, ports };
}
