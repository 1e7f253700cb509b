// Programs on another platform, as far as this machine can run it.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

import { ensureSshd } from '../../__test__/helpers/ensure-sshd.mjs';
import { ROOT } from '../setup.mjs';
import { Missing, libraries, nodes, qemu, wineRoot } from './tools.mjs';

const script = (name) => join(ROOT, 'scripts', 'platforms', name);

const emulated = (name) => [script('emulate.sh'), qemu(), libraries[name](), nodes[name]()];

/** The commands, without a program's name, that are Node.js of a platform. */
const COMMANDS = {
  'linux-x64-gnu': () => [process.execPath],
  'linux-arm64-gnu': () => emulated('linux-arm64-gnu'),
  'linux-arm64-musl': () => emulated('linux-arm64-musl'),
  'linux-x64-musl': () => {
    const library = join(libraries['linux-x64-musl'](), 'usr', 'lib', 'x86_64-linux-musl', 'libc.so');
    return [script('musl.sh'), library, 'ld-musl-x86_64.so.1', nodes['linux-x64-musl']()];
  },
  'win32-x64': () => [script('wine.sh'), wineRoot(), ROOT, nodes['win32-x64']()],
};

/** The command for Node.js of a platform. Throws `Missing` where it cannot be run. */
export function nodeCommand(name) {
  const command = COMMANDS[name];
  if (command === undefined) throw new Missing('nothing here runs it');
  const namespaces = ['--mount', ...(name.includes('arm64') ? ['--user'] : [])];
  if (name !== 'linux-x64-gnu' && spawnSync('unshare', [...namespaces, 'true']).status !== 0)
    throw new Missing('this process may not make namespaces');
  return command();
}

function run([command, ...args], { env, timeout }) {
  const options = { cwd: ROOT, encoding: 'utf8', env: { ...process.env, ...env }, timeout };
  const { status, stdout, stderr, error } = spawnSync(command, args, options);
  return { failed: status !== 0, reason: error?.message, output: `${stdout}${stderr}`.trim() };
}

/** Loads the addon with its constants; returns the version of Node.js. */
export function load(node, env) {
  const source =
    "const { SSHTunnel, SO_LINGER } = require('./index.js'); console.log(typeof SSHTunnel, typeof SO_LINGER, process.version)";
  const { failed, reason, output } = run([...node, '--eval', source], { env, timeout: 120_000 });
  const version = /^function number (v\S+?)\r?$/m.exec(output)?.[1];
  if (failed || version === undefined) throw new Error(reason ?? output.split('\n').slice(-3).join(' '));
  return version;
}

/** Runs the demonstration. */
export function demonstrate(node, env) {
  const { failed, reason, output } = run([...node, 'examples/demo.mjs'], { env, timeout: 300_000 });
  if (failed) throw new Error(reason ?? /^This went wrong: (.*)$/m.exec(output)?.[1] ?? output.split('\n').at(-1));
  return 'yes';
}

/** Runs the closing table with its tunnels on the platform; returns what passed of how many, and what failed. */
export function closingRows(node, env) {
  if (!ensureSshd()) throw new Missing('there is no sshd');
  const host = JSON.stringify([...node, '__test__/helpers/tunnel-host.mjs']);
  const test = [process.execPath, '--test', '--test-reporter=tap', '__test__/close/closing-table.test.mjs'];
  const { output } = run(test, { env: { ...env, TUNNEL_HOST: host }, timeout: 900_000 });
  const rows = [...output.matchAll(/^ {4}(not ok|ok) \d+ - (.*)$/gm)];
  const failed = rows.filter(([, result]) => result === 'not ok').map(([, , name]) => name);
  return { passed: rows.length - failed.length, all: rows.length, failed };
}
