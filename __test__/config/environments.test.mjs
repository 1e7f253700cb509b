// A user whom the system does not know, as in a container, and without a home folder: errors that say what to give, and
// none where nothing of it is needed.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

import { test } from '../helpers/bounded.mjs';
import { ROOT } from '../helpers/process.mjs';

/** No system has a user of this number. */
const UID = 1_234_567;
const PIN = `SHA256:${'A'.repeat(43)}`;
const ROOTS = { skip: process.getuid?.() !== 0 && 'needs root, to become another user' };

/** Runs a program as that user. */
async function run(args, env) {
  const options = { uid: UID, gid: UID, cwd: '/', env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'] };
  const child = spawn(process.execPath, args, options);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => (stderr += text));
  const [status] = await once(child, 'close');
  return { status, stdout, stderr };
}

/** The outcome of code that may make a tunnel: its options, or its error. */
async function make(code, env) {
  const source = `const { SSHTunnel } = require(${JSON.stringify(ROOT)});
    try { const made = (${code})(SSHTunnel); console.log(JSON.stringify({ notices: made.configNotices })) }
    catch ({ code, message }) { console.log(JSON.stringify({ code, message })) }`;
  const { stdout, stderr } = await run(['-e', source], env);
  assert.equal(stderr, '');
  return JSON.parse(stdout);
}

const command = (args, env) => run([join(ROOT, 'bin', 'sshtunnel.js'), ...args], env);

for (const [name, env] of [['with a home', { HOME: '/' }], ['without a home', {}], ['with an empty HOME', { HOME: '' }]]) {
  test(`a tunnel of an unknown user needs a username, and nothing else: ${name}`, ROOTS, async () => {
    const unknown = /uid 1234567.* no name .*: give the option 'options\.username'$/;
    for (const code of [
      `(T) => new T({ host: 'h', hostKey: '${PIN}' })`, "(T) => T.fromConfig('h', { configFile: 'none' })", `(T) => T.fromConfig('h', { hostKey: '${PIN}' })`,
    ]) {
      const { code: found, message } = await make(code, env);
      assert.equal(found, 'ERR_TUNNEL_NO_USER', message);
      assert.match(message, unknown);
    }
    const hop = await make(`(T) => new T({ host: 'h', username: 'u', hostKey: '${PIN}', jump: { host: 'j', hostKey: '${PIN}' } })`, env);
    assert.match(hop.message, /'options\.jump\.username'$/);
    for (const code of [
      `(T) => new T({ host: 'h', username: 'u', hostKey: '${PIN}' })`, `(T) => new T({ host: 'h', username: 'u', knownHosts: '/x' })`,
      `(T) => T.fromConfig('h', { username: 'u', hostKey: '${PIN}' })`, `(T) => T.fromConfig('h', { username: 'u', knownHosts: '/x' })`,
    ]) assert.deepEqual((await make(code, env)).code, undefined, code);
  });

  test(`the command of an unknown user says what to give: ${name}`, ROOTS, async () => {
    const flags = ['-F', 'none', '-p', '1', '-L', '0:x:1'];
    const unknown = await command([...flags, '127.0.0.1'], env);
    assert.equal(unknown.status, 255);
    assert.match(unknown.stderr, /^sshtunnel: .*uid 1234567.*: give it as user@host, by -l, or by 'User' in a file\n$/);
    for (const args of [['u@127.0.0.1'], ['-l', 'u', '127.0.0.1'], ['-o', 'User=u', '127.0.0.1']]) {
      const { status, stderr } = await command([...flags, '-o', 'UserKnownHostsFile=none', ...args], env);
      assert.equal(status, 255);
      assert.equal(stderr, 'sshtunnel: connect to host 127.0.0.1 port 1: Connection refused\n');
    }
  });
}

test('without a home, the default files of known hosts are an error that says what to give', ROOTS, async () => {
  const { code, message } = await make("(T) => new T({ host: 'h', username: 'u' })", {});
  // A system may have files for everybody.
  if (code !== undefined) {
    assert.equal(code, 'ERR_TUNNEL_NO_HOME');
    assert.match(message, /files of known hosts: give the option 'options\.hostKey' or 'options\.knownHosts', or set HOME$/);
  }
  const { notices } = await make("(T) => T.fromConfig('h', { username: 'u', configFile: 'none' })", {});
  assert.deepEqual(notices.map(({ option }) => option), ['UserKnownHostsFile']);
  const { status, stderr } = await command(['-F', 'none', '-p', '1', '-o', 'UserKnownHostsFile=~/known', 'u@127.0.0.1'], {});
  assert.equal(status, 255);
  assert.match(stderr, /^sshtunnel: command line: the user's home folder is not known, for '~\/known'\n$/);
});
