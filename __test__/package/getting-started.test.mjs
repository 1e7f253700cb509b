// docs/getting-started.md: its steps in an empty folder, with the packed files.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

import { pack } from '../../scripts/pack.mjs';
import { test } from '../helpers/bounded.mjs';
import { makeHome } from '../helpers/home.mjs';
import { makeKey, temporaryFolder } from '../helpers/keys.mjs';
import { isGnu, nodeProgram } from '../helpers/npm-programs.mjs';
import { refusingPort } from '../helpers/peers.mjs';
import { ROOT, run } from '../helpers/process.mjs';
import { Postgres } from '../helpers/services.mjs';
import { Sshd } from '../helpers/sshd.mjs';

/** The latest versions when the page was written; `install.test.mjs` has the compiler of this repository. */
const VERSIONS = { pg: '8.23.1', typescript: '7.0.2', '@types/node': '26.6.7', '@types/pg': '8.23.1' };
const MAX_LINES = 15;

const folder = temporaryFolder('newcomer');
const files = temporaryFolder('packed');
const [sshd, postgres, nobody] = await Promise.all([Sshd.start(), Postgres.start(), refusingPort()]);
const home = makeHome([sshd]);
after(async () => {
  await Promise.all([sshd, postgres, nobody].map((service) => service.stop()));
  for (const each of [folder, files, home]) each.remove();
});

const page = readFileSync(join(ROOT, 'docs', 'getting-started.md'), 'utf8');
const blocks = [...page.matchAll(/^```(\w+)\n(.*?)^```/gms)].map(([, language, text]) => ({ language, text }));
const [install, runIt, debugIt] = blocks.filter(({ language }) => language === 'sh').map(({ text }) => text);
const [{ text: config }] = blocks.filter(({ language }) => language === 'json');
const [program, report, byASocket] = blocks.filter(({ language }) => language === 'ts').map(({ text }) => text);

const { PGUSER, PGPASSWORD, PGDATABASE } = postgres.environment;
const database = (port) => `postgres://${PGUSER}:${PGPASSWORD}@127.0.0.1:${port}/${PGDATABASE}`;
const own = { HOME: home.path, DATABASE_URL: database(postgres.port) };

/** What npm prints beside what it is asked for. */
const QUIET = { npm_config_audit: 'false', npm_config_fund: 'false', npm_config_update_notifier: 'false' };

function shell(command, env = {}) {
  const options = { cwd: folder.path, env: { ...process.env, ...QUIET, ...own, ...env }, timeout: 170_000 };
  return run('bash', ['-ec', command], options);
}

/** Writes app.ts with our server in place of the one that the page names. */
function write(text) {
  const login = { "'bastion.example'": `'127.0.0.1', port: ${sshd.port}`, "'me'": `'${userInfo().username}'` };
  writeFileSync(
    folder.at('app.ts'),
    Object.entries(login).reduce((result, [from, to]) => result.replace(from, to), text),
  );
}

/** Installs as the page says; whether the packages could be had. */
async function installed() {
  const { main, platform } = await pack(files.path);
  const pinned = Object.entries(VERSIONS).reduce(
    (text, [name, version]) => text.replace(new RegExp(`(?<= )${name}(?=\\s)`), `${name}@${version}`),
    install.replace(' sshtunnel-native ', ` ${main.file} ${platform.file} `),
  );
  const { code, stdout, stderr } = await shell(pinned, { HOME: process.env.HOME });
  if (code !== 0) console.error(`the packages of docs/getting-started.md cannot be installed: ${stderr || stdout}`);
  writeFileSync(folder.at('tsconfig.json'), config);
  return code === 0;
}

const isInstalled = await installed();

/** The program, compiled once for the tests that make mistakes. */
const compiled = 'compiled.mjs';
if (isInstalled) {
  write(program);
  await shell(`npx tsc && mv app.js ${compiled}`);
}

test('the program compiles and prints its answer', { timeout: 180_000 }, async (t) => {
  if (!isInstalled) return t.skip('the packages cannot be installed');
  assert.ok(program.match(/^.*\S.*$/gm).length <= MAX_LINES);
  write(program);
  const { code, stdout, stderr } = await shell(runIt);
  assert.deepEqual([code, stdout, stderr], [0, '42\n', '']);
  const tsc = 'npx tsc --noEmit --exactOptionalPropertyTypes --noUncheckedIndexedAccess --verbatimModuleSyntax';
  const strict = await shell(tsc);
  assert.deepEqual([strict.code, strict.stdout], [0, '']);
});

test('the program runs in Node.js 24 without a compiler', { timeout: 120_000 }, async (t) => {
  // It is for glibc, as the binary has to be.
  const node = isGnu && process.arch === 'x64' && nodeProgram('24.21.0');
  if (!isInstalled || !node) return t.skip('there is no Node.js 24 here');
  write(program);
  const { code, stdout, stderr } = await shell(`${node} app.ts`);
  assert.deepEqual([code, stdout, stderr], [0, '42\n', '']);
});

/** A home folder that differs from the right one in a file. */
function otherHome(t, name, text) {
  const other = makeHome([sshd]);
  t.after(other.remove);
  writeFileSync(join(other.path, '.ssh', name), text, { mode: 0o600 });
  return other.path;
}

const MISTAKES = {
  'the host key of ... is not known': (t) => ({ HOME: otherHome(t, 'known_hosts', '') }),
  'authentication failed for user ...': (t) => ({
    HOME: otherHome(t, 'id_ed25519', makeKey(folder.at('other')).privateKey),
  }),
  'the private key is encrypted and there is no passphrase': (t) => {
    const key = folder.at('encrypted');
    makeKey(key);
    spawnSync('ssh-keygen', ['-q', '-p', '-N', 'secret', '-f', key]);
    return { HOME: otherHome(t, 'id_ed25519', readFileSync(key)) };
  },
  ECONNRESET: () => ({ DATABASE_URL: database(nobody.port) }),
  'password authentication failed': () => ({ DATABASE_URL: database(postgres.port).replace(PGPASSWORD, 'wrong') }),
};

for (const [message, environment] of Object.entries(MISTAKES)) {
  test(`the page explains: ${message}`, { timeout: 60_000 }, async (t) => {
    if (!isInstalled) return t.skip('the packages cannot be installed');
    assert.ok(page.includes(`\`${message}\``));
    const { code, stderr } = await shell(`node ${compiled}`, environment(t));
    assert.equal(code, 1);
    for (const part of message.split('...')) assert.ok(stderr.includes(part), stderr);
  });
}

test('the log, a listener and a socket tell why the database is not reached', { timeout: 60_000 }, async (t) => {
  if (!isInstalled) return t.skip('the packages cannot be installed');
  const environment = { DATABASE_URL: database(nobody.port) };
  const log = (await shell(debugIt.replace('app.js', compiled), environment)).stderr;
  assert.match(log, /channel 0: .*refused/i);
  write(program.replace('const url', `${report}const url`));
  assert.match((await shell(runIt, environment)).stderr, /^ERR_SSH_OPEN_CONNECT_FAILED .*refused/im);
  const socket = byASocket.replace('db.internal', '127.0.0.1').replace('5432', String(nobody.port));
  write(program.replace(/const pool.*\n/, socket));
  assert.match((await shell(runIt, environment)).stderr, /code: 'ERR_SSH_OPEN_CONNECT_FAILED'/);
});
