// The programs in docs/migrating.md work as printed, except for names and ports; so do the
// programs that they replace.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

import { SSHTunnel } from '../../promises.js';
import { test } from '../helpers/bounded.mjs';
import { freePort } from '../helpers/daemon.mjs';
import { findProgram } from '../helpers/ensure-sshd.mjs';
import { Target, behaviors, connect, refusingPort } from '../helpers/peers.mjs';
import { ROOT, run } from '../helpers/process.mjs';
import { Sshd } from '../helpers/sshd.mjs';
import { KnownHosts } from '../helpers/trust.mjs';
import { ask, close, happened } from '../helpers/tunnel-ssh.mjs';
import { NamedHosts } from '../helpers/named-hosts.mjs';
import { npmProject } from '../helpers/npm-project.mjs';
import { pythonSshtunnel } from '../helpers/python-sshtunnel.mjs';
import { Api, Postgres } from '../helpers/services.mjs';

const project = npmProject();
const python = pythonSshtunnel();
const [sshd, target] = await Promise.all([Sshd.start(), Target.start(behaviors.echo())]);
const [postgres, api] = await Promise.all([Postgres.start(), Api.start()]);
const files = new KnownHosts();
after(async () => {
  await Promise.all([sshd, target, postgres, api].map((service) => service.stop()));
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
  const server = await live('sshtunnel-native/tunnel-ssh', variables, 'server');
  await ask(server.address().port);
  await close(server);
});

const ANSWER = { prints: /^42\n$/, hosts: ['db.internal:5432'] };
const STATUS = { prints: /200 .*"path": "\/status"/s, hosts: ['api.internal:80'] };

/** The sections with two programs, by the text of their headings: what both print, and the names that they connect to. */
const PAIRS = { 'tunnel-ssh': ANSWER, "ssh2's forwardOut": ANSWER, 'node-ssh': STATUS, "Python's sshtunnel": STATUS };

/** Runs a program of the page with these servers, in a folder with the packages; returns its lines. */
async function runProgram(t, { language, program }, { prints, hosts }) {
  const named = await NamedHosts.start({ 'db.internal:5432': postgres.port, 'api.internal:80': api.port });
  t.after(() => named.stop());
  const fitting = [
    ["host: 'bastion.example'", `host: '127.0.0.1', port: ${named.port}`],
    ["username: 'me'", "username: 'user'"],
    ['"bastion.example", 22', `"127.0.0.1", ${named.port}`],
    ['ssh_username="me"', 'ssh_username="user"'],
    [/\b15432\b/g, String(await freePort())],
  ].reduce((text, [from, to]) => text.replace(from, to), program);
  const isPython = language === 'python';
  const [command, args] = isPython ? [python.python, ['-c']] : [process.execPath, ['--input-type=module', '--eval']];
  const env = { ...process.env, ...postgres.environment, ...named.environment, ...(isPython && python.environment) };
  const { code, late, stdout, stderr } = await run(command, [...args, fitting], { cwd: project, env, timeout: 30_000 });
  assert.deepEqual([code, late], [0, false], stderr);
  assert.match(stdout, prints);
  assert.deepEqual([...new Set(named.used)], hosts);
  return program.match(/^.*\S.*$/gm).length;
}

for (const [name, expected] of Object.entries(PAIRS)) {
  test(`docs/migrating.md: the program with ${name} and ours do the same, and ours is no longer`, async (t) => {
    if (project === null) return t.skip('its package cannot be installed');
    const [, section] = page.split(`\n## From ${name}\n`);
    const [theirs, ours] = section.split('\nbecomes\n');
    const [before, after] = [theirs, ours].map((text) => {
      const [, language, program] = /^```(\w+)\n(.*?)^```/ms.exec(text);
      return { language, program };
    });
    assert.ok(after.program.includes('sshtunnel-native/promises') && !before.program.includes('sshtunnel-native'));
    const lines = await runProgram(t, after, expected);
    if (before.language === 'python' && python === null) return t.skip('there is no sshtunnel of Python');
    const others = await runProgram(t, before, expected);
    assert.ok(lines <= others, `${lines} lines in place of ${others}`);
  });
}

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
