// The addon for another platform, built on Linux. scripts/build.mjs has the recipe for Linux; here are the recipes that
// only cross-compiling needs.

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { remapping } from '../build.mjs';
import { ROOT } from '../setup.mjs';
import { zigEnvironment } from '../zig.mjs';
import { FOLDER, Missing } from './tools.mjs';

/** The oldest macOS for the binaries, as MACOSX_DEPLOYMENT_TARGET in the workflow. */
export const MACOS = '11.0';

/** Runs a command with its output shown, unless `stdio` says otherwise; throws if it fails. Returns what it printed. */
function build(command, args, env, stdio = 'inherit') {
  const { status, error, stdout } = spawnSync(command, args, {
    cwd: ROOT,
    stdio,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
    env: { ...process.env, AWS_LC_SYS_USE_SYSTEM: '0', AWS_LC_SYS_PREBUILT_NASM: '1', ...env },
  });
  if (status !== 0) throw new Error(`${command} ${args[0]} fails: ${error?.message ?? `exit code ${status}`}`);
  return stdout;
}

const rustc = (...args) => spawnSync('rustc', args, { encoding: 'utf8' }).stdout.trim();

/** Installs Rust's standard library for a target. */
export function ensureTarget(triple) {
  if (existsSync(rustc('--print', 'target-libdir', '--target', triple))) return;
  const { status } = spawnSync('rustup', ['target', 'add', triple], { stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) throw new Missing(`rustup cannot add ${triple}`);
}

function zig() {
  const environment = zigEnvironment();
  if (environment === null) throw new Missing('Zig cannot be had from PyPI');
  // For cargo-zigbuild itself, not for napi.
  const { CARGO: _, ...rest } = environment;
  return rest;
}

const release = (triple, name) => join(ROOT, 'target', triple, 'release', name);
const flags = (...more) => [...more, ...remapping()].join('\x1f');

/**
 * An empty library of Node.js: napi-build asks for one for Windows, and nothing of it is used, because the addon looks its
 * functions up when it is loaded.
 */
function libnode() {
  const folder = join(FOLDER, 'libnode');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'libnode.a'), '!<arch>\n'); // an archive without members
  writeFileSync(join(folder, 'libnode.dll'), '');
  return folder;
}

/** Zig is the linker of the GNU ABI too: no Microsoft SDK can be had here. */
function buildForWindows(triple) {
  const env = { ...zig(), LIBNODE_PATH: libnode(), CARGO_ENCODED_RUSTFLAGS: flags() };
  build('cargo-zigbuild', ['zigbuild', '--release', '--lib', '--locked', '--target', triple], env);
  return release(triple, 'sshtunnel_native.dll');
}

/**
 * Zig compiles the C code for macOS, and the linker of LLVM that comes with Rust links: Zig's own fails. The SDK is the list
 * of the system's symbols that comes with Zig.
 */
function buildForMacos(triple) {
  const environment = zig();
  const sdk = join(FOLDER, 'macos-sdk');
  const libraries = join(sdk, 'usr', 'lib');
  mkdirSync(libraries, { recursive: true });
  const symbols = join(dirname(environment.CARGO_ZIGBUILD_ZIG_PATH), 'lib', 'libc', 'darwin', 'libSystem.tbd');
  for (const name of ['libSystem', 'libc', 'libm', 'libiconv']) copyFileSync(symbols, join(libraries, `${name}.tbd`));
  const linker = join(ROOT, 'scripts', 'platforms', 'macos-linker.sh');
  const env = {
    ...environment,
    SDKROOT: sdk,
    MACOSX_DEPLOYMENT_TARGET: MACOS,
    SYSROOT: rustc('--print', 'sysroot'),
    [`CARGO_TARGET_${triple.toUpperCase().replaceAll('-', '_')}_LINKER`]: linker,
    CARGO_ENCODED_RUSTFLAGS: flags('-C', 'linker-flavor=ld64.lld'),
  };
  build('cargo-zigbuild', ['zigbuild', '--release', '--lib', '--locked', '--target', triple], env);
  return release(triple, 'libsshtunnel_native.dylib');
}

/**
 * Builds for a platform.
 * @param {{ name: string, triple: string, binary: string }} platform
 * @returns {string} the path of the binary
 */
export function buildFor({ name, triple, binary }) {
  ensureTarget(triple);
  if (triple.includes('-linux-')) {
    build(process.execPath, ['scripts/build.mjs', '--target', triple]);
    return join(ROOT, binary);
  }
  const folder = join(FOLDER, name);
  mkdirSync(folder, { recursive: true });
  const path = join(folder, binary);
  copyFileSync(triple.includes('-windows-') ? buildForWindows(triple) : buildForMacos(triple), path);
  return path;
}

/**
 * Compiles for platforms, whose standard libraries are here, without linking, which needs no C compiler for them. One cargo
 * does it for all: alone, each would leave processors idle at its end.
 * @param {string[]} triples
 */
export function checkFor(triples) {
  const compiler = join(ROOT, 'scripts', 'platforms', 'no-cc.sh');
  const env = { LIBNODE_PATH: libnode() };
  for (const triple of triples) {
    const variable = triple.replaceAll('-', '_');
    Object.assign(env, { [`CC_${variable}`]: compiler, [`CXX_${variable}`]: compiler, [`AR_${variable}`]: 'true' });
  }
  const targets = triples.flatMap((triple) => ['--target', triple]);
  build('cargo', ['check', '--quiet', '--locked', '--lib', '--tests', ...targets], env);
}

/**
 * Builds the unit tests of both crates.
 * @returns {Record<string, string>} the paths of the programs, by the name of the crate
 */
export function buildTests({ triple }) {
  ensureTarget(triple);
  const env = { ...zig(), LIBNODE_PATH: libnode(), CARGO_PROFILE_DEV_DEBUG: 'none', CARGO_PROFILE_DEV_OPT_LEVEL: '1' };
  const args = [
    'test',
    '--no-run',
    '--lib',
    '--locked',
    '--target',
    triple,
    '--message-format',
    'json-render-diagnostics',
  ];
  const packages = ['--package', 'ssh-proto', '--package', 'sshtunnel-native'];
  const printed = build('cargo-zigbuild', [...args, ...packages], env, ['ignore', 'pipe', 'inherit']);
  const messages = printed
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
  const programs = messages
    .filter(({ executable }) => executable)
    .map(({ target, executable }) => [target.name, executable]);
  return Object.fromEntries(programs);
}
