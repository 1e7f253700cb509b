// What users install: packed, put into an empty project, loaded in each way, and typed.

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before } from 'node:test';

import * as own from '../index.js';
import { test } from './helpers/bounded.mjs';
import { temporaryFolder } from './helpers/keys.mjs';
import { ROOT, run } from './helpers/process.mjs';

const folder = temporaryFolder('package');
const project = join(folder.path, 'project');
after(folder.remove);

const NPM = ['--offline', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel', 'error'];

async function succeed(command, args, options) {
  const result = await run(command, args, options);
  assert.equal(result.code, 0, `${command} ${args.join(' ')}\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

let files;
before(async () => {
  const packed = await succeed('npm', ['pack', '--json', '--pack-destination', folder.path, ...NPM], {
    cwd: ROOT,
  });
  // Npm 10 prints a list, later ones an object by name.
  const [{ filename, files: list }] = Object.values(JSON.parse(packed));
  files = list.map(({ path }) => path);
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "name": "empty", "private": true }\n');
  await succeed('npm', ['install', join(folder.path, filename), ...NPM], { cwd: project });
});

function runInProject(name, source) {
  writeFileSync(join(project, name), source);
  return succeed(process.execPath, [name], { cwd: project });
}

test('the package holds what it needs and nothing else', () => {
  for (const needed of ['index.js', 'index.d.ts', 'package.json', 'README.md', 'LICENSE']) {
    assert.ok(files.includes(needed), `${needed} is missing`);
  }
  assert.ok(files.some((file) => file.endsWith('.node')), 'the addon is missing');
  const strangers = files.filter((file) => /^(__test__|target|crates|src|bench|\.ci|scripts)\//.test(file));
  assert.deepEqual(strangers, []);
});

test('require', async () => {
  const printed = await runInProject('a.cjs', `
    const all = require('sshtunnel-native');
    const tunnel = new all.SSHTunnel({ host: 'h', forwardHost: 'f', forwardPort: 1 });
    console.log(all.sshtunnel === all.SSHTunnel, tunnel.getLinger());
  `);
  assert.equal(printed, 'true true\n');
});

test('import', async () => {
  const printed = await runInProject('a.mjs', `
    import { EventEmitter } from 'node:events';
    import whole, { SSHTunnel, sshtunnel } from 'sshtunnel-native';
    const tunnel = new SSHTunnel({ host: 'h', forwardHost: 'f', forwardPort: 1 });
    console.log(whole.SSHTunnel === SSHTunnel, sshtunnel === SSHTunnel);
    console.log(tunnel instanceof EventEmitter, tunnel.getLinger());
  `);
  assert.equal(printed, 'true true\ntrue true\n');
});

test('import gives the same names as require', async () => {
  const printed = await runInProject('names.mjs', `
    import { createRequire } from 'node:module';
    import * as imported from 'sshtunnel-native';
    const required = createRequire(import.meta.url)('sshtunnel-native');
    console.log(JSON.stringify([Object.keys(imported), Object.keys(required)]));
  `);
  const [imported, required] = JSON.parse(printed);
  const names = imported.filter((name) => !['default', 'module.exports'].includes(name));
  assert.deepEqual(names.sort(), required.sort());
  assert.deepEqual(Object.keys(own.default).sort(), required.sort());
});

const PROGRAM = `
import { SSHTunnel, sshtunnel } from 'sshtunnel-native';
import type { ConnectionEnd, ConnectionInfo, HostKeyInfo, Linger } from 'sshtunnel-native';

const tunnel: SSHTunnel = new SSHTunnel({
  host: 'bastion', username: 'me', privateKey: Buffer.from('key'), passphrase: 'secret',
  hostKey: ['SHA256:x'], knownHosts: '/dev/null',
  hostVerifier: async (key: HostKeyInfo): Promise<boolean> => key.fingerprint === 'SHA256:x',
  forwardHost: 'db', forwardPort: 5432, linger: true, keepAlive: true, idleTimeout: 1000,
  keepaliveInterval: 1000, keepaliveCountMax: 3, readyTimeout: 1000,
});
const other: SSHTunnel = new sshtunnel({ host: 'h', forwardHost: 'f', forwardPort: 1, linger: false });

const linger: boolean = tunnel.getLinger();
tunnel.setLinger(!linger);
tunnel.setLinger(false, (error: Error | null) => error?.message);
tunnel.getLinger((error, value) => {
  if (!error) {
    const graceful: boolean | undefined = value;
    void graceful;
  }
});
const structure: Linger = tunnel.getLingerOption();
const onoff: number = structure.l_onoff;
// @ts-expect-error a string is no boolean
tunnel.setLinger('yes');
// @ts-expect-error a value is needed
tunnel.setLinger();
// @ts-expect-error no such option
new SSHTunnel({ host: 'h', forwardHost: 'f', forwardPort: 1, nonsense: 1 });
// @ts-expect-error the server is needed
new SSHTunnel({ forwardHost: 'f', forwardPort: 1 });

tunnel.on('connection', (info: ConnectionInfo) => info.connectionId.toFixed());
tunnel.on('disconnected', (end: ConnectionEnd) => {
  const closedBy: 'graceful' | 'reset' = end.closedBy;
  const bytes: number = end.bytesUp + end.bytesDown + end.droppedUp + end.droppedDown;
  return [closedBy, bytes, end.clean, end.code, end.reason, end.lingerExpired, end.linger.l_linger];
});
tunnel.on('connectionRequest', (request) => (request.connectionId > 1 ? request.accept() : request.reject()));
tunnel.on('error', (error) => error.message);
tunnel.once('close', () => {});

async function main(): Promise<void> {
  await tunnel.promises.connect();
  await tunnel.promises.startListening();
  const value: boolean = await tunnel.promises.getLinger();
  const port: number = tunnel.localPort;
  const open: ConnectionInfo[] = tunnel.connections();
  await tunnel.promises.disconnect(open[0].connectionId);
  tunnel.ref().unref();
  await tunnel.close({ timeout: 1000 });
  void [value, port, onoff, other.listening];
}
void main;
`;

for (const [module, moduleResolution] of [['nodenext', 'nodenext'], ['esnext', 'bundler']]) {
  test(`tsc --strict, ${moduleResolution}`, { timeout: 60_000 }, async () => {
    const types = join(project, 'node_modules', '@types');
    if (!readdirSync(join(project, 'node_modules')).includes('@types')) {
      symlinkSync(join(ROOT, 'node_modules', '@types'), types);
    }
    writeFileSync(join(project, 'program.ts'), PROGRAM);
    const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    await succeed(process.execPath, [
      compiler, '--strict', '--noEmit', '--target', 'es2022', '--module', module,
      '--moduleResolution', moduleResolution, '--types', 'node', 'program.ts',
    ], { cwd: project });
  });
}
