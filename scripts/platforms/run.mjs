// Programs on another platform, as far as this machine can run it.

import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { delimiter, join } from 'node:path';

import { ensureSshd } from '../../__test__/helpers/ensure-sshd.mjs';
import { ROOT } from '../setup.mjs';
import { FOLDER, Missing, libraries, nodes, qemu, wineRoot } from './tools.mjs';

const script = (name) => join(ROOT, 'scripts', 'platforms', name);

const emulated = (name) => [script('emulate.sh'), qemu(), libraries[name]()];

/** The commands that run a program of a platform, without its name. */
const COMMANDS = {
  'linux-x64-gnu': () => [],
  'linux-arm64-gnu': () => emulated('linux-arm64-gnu'),
  'linux-arm64-musl': () => emulated('linux-arm64-musl'),
  'linux-x64-musl': () => {
    const library = join(libraries['linux-x64-musl'](), 'usr', 'lib', 'x86_64-linux-musl', 'libc.so');
    return [script('musl.sh'), library, 'ld-musl-x86_64.so.1'];
  },
  'win32-x64': () => [script('wine.sh'), wineRoot(), ROOT],
};

/** The command that runs programs of a platform. Throws `Missing` where they cannot be run. */
export function runner(name) {
  const command = COMMANDS[name];
  if (command === undefined) throw new Missing('nothing here runs it');
  const namespaces = ['--mount', ...(name.includes('arm64') ? ['--user'] : [])];
  if (name !== 'linux-x64-gnu' && spawnSync('unshare', [...namespaces, 'true']).status !== 0)
    throw new Missing('this process may not make namespaces');
  return command();
}

/** The command for Node.js of a platform. Throws `Missing` where it cannot be run. */
export const nodeCommand = (name) => [...runner(name), nodes[name]()];

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
  if (failed) throw new Error(reason ?? /^Failed: (.*)$/m.exec(output)?.[1] ?? output.split('\n').at(-1));
  return 'yes';
}

/** Without the variable by which a suite would take itself for a part of the suite that runs it. */
const ALONE = { NODE_TEST_CONTEXT: undefined };

/**
 * Runs the program that uses a tunnel in every way, and compares with Node.js here what it prints and its peers see.
 * Returns how many parts it has.
 */
export function program(name, [command, ...args], env) {
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const runtime = JSON.stringify({ [name]: ['env', ...settings, command, ...args] });
  const test = [process.execPath, '--test', '--test-reporter=tap', '__test__/package/runtimes.test.mjs'];
  const { failed, reason, output } = run(test, { env: { RUNTIME: runtime, ...ALONE }, timeout: 300_000 });
  const parts = /^# (\d+) parts$/m.exec(output)?.[1];
  if (failed || parts === undefined) throw new Error(reason ?? /error: \|-\n\s+(.*)/.exec(output)?.[1] ?? 'it fails');
  return `${parts} parts`;
}

/** Runs the closing table with its tunnels on the platform; returns what passed of how many, and what failed. */
export function closingRows(node, env) {
  if (!ensureSshd()) throw new Missing('there is no sshd');
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const host = JSON.stringify(['env', ...settings, ...node, '__test__/helpers/tunnel-host.mjs']);
  const test = [process.execPath, '--test', '--test-reporter=tap', '__test__/close/closing-table.test.mjs'];
  const { output } = run(test, { env: { TUNNEL_HOST: host, ...ALONE }, timeout: 900_000 });
  const rows = [...output.matchAll(/^ {4}(not ok|ok) \d+ - (.*)$/gm)];
  const failed = rows.filter(([, result]) => result === 'not ok').map(([, , name]) => name);
  return { passed: rows.length - failed.length, all: rows.length, failed };
}

/**
 * Runs a test program of Rust.
 * @returns {{ passed: number, all: number, failed: string[] }}
 */
export function unitTests(command, program) {
  const { reason, output } = run([...command, program], { timeout: 1_800_000 });
  const [, passed, failed] = /^test result: \w+\. (\d+) passed; (\d+) failed;/m.exec(output) ?? [];
  if (passed === undefined) throw new Error(reason ?? output.split('\n').at(-1));
  const names = Array.from(output.matchAll(/^test (\S+) ... FAILED\r?$/gm), ([, name]) => name);
  return { passed: Number(passed), all: Number(passed) + Number(failed), failed: names };
}

/** Runs suites of Node.js on a platform with their output shown; returns whether all tests passed. */
export function suites(name, names) {
  const [command, ...args] = [...nodeCommand(name), 'scripts/test.mjs', '--no-rust', ...names];
  // What the tests start by its name is the same Node.js, and with it npm.
  const folder = join(FOLDER, 'path', name);
  mkdirSync(folder, { recursive: true });
  rmSync(join(folder, 'node'), { force: true });
  symlinkSync(nodes[name](), join(folder, 'node'));
  const env = { ...process.env, PATH: [folder, process.env.PATH].join(delimiter) };
  const { status } = spawnSync(command, args, { cwd: ROOT, env, stdio: 'inherit' });
  return status === 0;
}
