// The packages that users install: packed, installed into an empty project, loaded in each way, and typed.

import assert from 'node:assert/strict';
import {
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
import { basename, join } from 'node:path';
import { after, before } from 'node:test';

import { NapiCli } from '@napi-rs/cli';

import * as own from '../../index.js';
import { pack } from '../../scripts/pack.mjs';
import { linking, remapping } from '../../scripts/build.mjs';
import { crates } from '../../scripts/crates.mjs';
import { notices } from '../../scripts/notices.mjs';
import { makePackages } from '../../scripts/make-packages.mjs';
import { NOTICES, SBOM, faults, glibc, libcFaults, madeFor, platforms, readManifest } from '../../scripts/packages.mjs';
import { obstacles } from '../../scripts/release.mjs';
import { sboms } from '../../scripts/sbom.mjs';
import { test } from '../helpers/bounded.mjs';
import { temporaryFolder } from '../helpers/keys.mjs';
import { ROOT, run } from '../helpers/process.mjs';

const folder = temporaryFolder('package');
const project = join(folder.path, 'project');
after(folder.remove);

const NPM = ['--offline', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel', 'error'];

async function succeed(command, args, options) {
  const result = await run(command, args, options);
  assert.equal(result.code, 0, `${command} ${args.join(' ')}\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

/** Makes an empty project of these packed packages. */
async function install(path, files) {
  mkdirSync(path);
  writeFileSync(join(path, 'package.json'), '{ "name": "empty", "private": true }\n');
  await succeed('npm', ['install', ...files, ...NPM], { cwd: path });
}

let packed;
before(async () => {
  packed = await pack(folder.path);
  await install(project, [packed.main.file, packed.platform.file]);
});

function runInProject(name, source) {
  writeFileSync(join(project, name), source);
  return succeed(process.execPath, [name], { cwd: project });
}

test('both packages contain exactly the expected files', () => {
  assert.deepEqual(packed.faults, []);
  const { main, platform, here } = packed;
  assert.equal(
    main.files.some((file) => file.endsWith('.node')),
    false,
    'a binary in the package of all platforms',
  );
  assert.ok(platform.files.includes(here.binary));
  // What the command serves to a browser, and no picture of it.
  for (const name of ['page.html', 'page.css', 'page.mjs', 'favicon.svg'])
    assert.ok(main.files.includes(`lib/cli/web/page/${name}`), name);
  assert.deepEqual(
    main.files.filter((file) => file.endsWith('.png')),
    [],
  );
  for (const { files } of [main, platform])
    for (const file of [NOTICES, SBOM, 'LICENSE']) assert.ok(files.includes(file));
  assert.equal(platform.name, here.package);
});

test('platform packages are derived from package.json', async () => {
  const made = join(folder.path, 'npm');
  await makePackages(made);
  const { version, license, engines, napi } = readManifest();
  assert.deepEqual(
    readdirSync(made).sort(),
    platforms()
      .map(({ name }) => name)
      .sort(),
  );
  assert.equal(platforms().length, napi.targets.length);
  const libcs = { gnu: ['glibc'], musl: ['musl'] };
  for (const { name, package: title, platform, arch, abi, binary } of platforms()) {
    const manifest = readManifest(join(made, name));
    const { os, cpu, libc, main, files } = manifest;
    assert.deepEqual([manifest.name, manifest.version, manifest.license], [title, version, license]);
    assert.deepEqual([os, cpu, libc], [[platform], [arch], libcs[abi]], name);
    assert.deepEqual([main, files, manifest.engines], [binary, [binary, NOTICES, SBOM], engines], name);
    for (const file of ['LICENSE', NOTICES]) assert.ok(existsSync(join(made, name, file)), name);
    assert.equal(JSON.parse(readFileSync(join(made, name, SBOM), 'utf8')).metadata.component.name, title);
  }
});

test('the published package has all platforms as optional dependencies and loads the matching one', async () => {
  // A copy, for the command writes the dependencies into package.json.
  const copy = join(folder.path, 'published');
  cpSync(join(project, 'node_modules', 'sshtunnel-native'), copy, { recursive: true });
  await new NapiCli().createNpmDirs({ cwd: copy });
  await new NapiCli().prePublish({ cwd: copy, tagStyle: 'npm', ghRelease: false, skipOptionalPublish: true });
  const { version, optionalDependencies } = readManifest(copy);
  assert.deepEqual(optionalDependencies, Object.fromEntries(platforms().map((one) => [one.package, version])));

  await succeed('npm', ['pack', '--pack-destination', copy, ...NPM], { cwd: copy });
  const user = join(folder.path, 'user');
  await install(user, [join(copy, basename(packed.main.file)), packed.platform.file]);
  const printed = await succeed(process.execPath, ['--print', "typeof require('sshtunnel-native').SSHTunnel"], {
    cwd: user,
  });
  assert.equal(printed, 'function\n');
});

test('the format of a binary is detected', () => {
  const { here } = packed;
  const bytes = readFileSync(join(ROOT, here.binary));
  const own = { platform: process.platform, arch: process.arch };
  assert.deepEqual(madeFor(bytes), own);
  assert.equal(madeFor(readFileSync(join(ROOT, 'index.d.ts'))), null);
  assert.deepEqual(glibc(Buffer.from('GLIBC_2.2.5 GLIBC_2.28 GLIBC_2.9')), [2, 28]);
  assert.equal(glibc(bytes) !== undefined, here.abi === 'gnu');
  const small = bytes.subarray(0, 4096);
  assert.deepEqual(faults(small, here), []);
  assert.deepEqual(faults(small, { ...here, arch: 'other' }), [`is for ${own.platform} ${own.arch}`]);
  assert.deepEqual(faults(small, { ...here, platform: 'darwin' }), [`is for ${own.platform} ${own.arch}`]);
  assert.deepEqual(faults(Buffer.from('text'), here), ['is no executable']);
  assert.match(faults(Buffer.concat([small, Buffer.alloc(8 * 2 ** 20)]), here)[0], /^has \d+ bytes, more than/);
  for (const path of [
    '/home/runner/.cargo/registry/src/x/lib.rs',
    '/Users/me/a.c',
    'C:\\Users\\me\\src\\lib.rs',
    '/root/.cargo/b.h',
  ]) {
    assert.deepEqual(faults(Buffer.concat([small, Buffer.from(`\0${path}\0`)]), here), [
      `names a file of the machine that built it, ${path}`,
    ]);
  }
  assert.deepEqual(
    faults(Buffer.concat([small, Buffer.from('/cargo/registry/src/x/lib.rs /rustc/59/library/std/a.rs')]), here),
    [],
  );
  const [gnu, musl] = ['gnu', 'musl'].map((abi) => ({ ...here, abi }));
  assert.deepEqual(libcFaults(Buffer.from('GLIBC_2.2.5 GLIBC_2.28 GLIBC_2.9'), gnu), []);
  assert.deepEqual(libcFaults(Buffer.from('GLIBC_2.28 GLIBC_2.34'), gnu), ['asks for glibc 2.34, newer than 2.28']);
  assert.deepEqual(libcFaults(Buffer.from('GLIBC_2.17'), musl), ['asks for glibc']);
  // Headers of the other formats, as far as they are read.
  const machO = Buffer.alloc(64);
  machO.writeUInt32LE(0xfeedfacf);
  machO.writeUInt32LE(0x0100000c, 4);
  assert.deepEqual(madeFor(machO), { platform: 'darwin', arch: 'arm64' });
  const pe = Buffer.alloc(192);
  pe.write('MZ');
  pe.writeUInt32LE(128, 60);
  pe.writeUInt16LE(0x8664, 132);
  assert.deepEqual(madeFor(pe), { platform: 'win32', arch: 'x64' });
});

test('a build contains no paths of the build machine', async () => {
  const home = join(folder.path, 'home of somebody');
  const root = join(home, 'source');
  mkdirSync(root, { recursive: true });
  const source = join(root, 'lib.rs');
  writeFileSync(source, '#[no_mangle] pub extern "C" fn f(x: usize) -> u8 { [1, 2][std::hint::black_box(x)] }\n');
  const library = join(root, 'made');
  const compile = async (...flags) => {
    await succeed('rustc', ['--crate-type', 'cdylib', '--edition', '2021', '-g', '-o', library, ...flags, source]);
    return readFileSync(library, 'latin1');
  };
  assert.ok((await compile()).includes(root));
  const made = await compile(...remapping({ root, home }));
  assert.ok(!made.includes(folder.path) && made.includes('/sshtunnel-native/lib.rs'));
});

test('a build links the C library as .cargo/config.toml says', () => {
  const config = readFileSync(join(ROOT, '.cargo', 'config.toml'), 'utf8');
  for (const { target } of platforms()) {
    const [, flags] = new RegExp(`^\\[target\\.${target}\\]\\nrustflags = (.*)$`, 'm').exec(config) ?? [];
    // Cargo and napi leave musl to the build: an addon has to load into a dynamic Node.js.
    const expected = target.endsWith('-musl') ? ['-C', 'target-feature=-crt-static'] : JSON.parse(flags ?? '[]');
    assert.deepEqual(linking(target), expected, target);
  }
});

test('notices and SBOMs list what is linked', () => {
  const made = notices();
  assert.equal(readFileSync(join(ROOT, NOTICES), 'utf8'), made, `${NOTICES} is old: npm run notices`);
  const linked = crates();
  for (const name of ['aws-lc-sys', 'napi', 'tokio', 'ssh-key'])
    assert.ok(
      linked.some((one) => one.name === name),
      name,
    );
  // Crates that are locked and not linked, build dependencies, and our own.
  for (const name of ['rsa', 'cc', 'syn', 'ssh-proto']) assert.ok(!linked.some((one) => one.name === name), name);
  for (const { id } of linked)
    assert.match(made, new RegExp(`^${id.replaceAll('.', '\\.').replaceAll('+', '\\+')}(?: \\(.*\\))?: `, 'm'));
  const documents = sboms();
  assert.deepEqual(sboms(), documents);
  const { name, version } = readManifest();
  assert.deepEqual(Object.keys(documents).sort(), [name, ...platforms().map((one) => one.package)].sort());
  for (const { package: title, target } of platforms()) {
    const { metadata, components, dependencies } = documents[title];
    assert.equal(metadata.component.purl, `pkg:npm/${title}@${version}`);
    assert.equal(components.length, linked.filter(({ targets }) => targets.includes(target)).length);
    for (const { hashes, purl } of components)
      assert.match(`${purl} ${hashes[0].content}`, /^pkg:cargo\/[\w-]+@\S+ [0-9a-f]{64}$/);
    const known = new Set([metadata.component['bom-ref'], ...components.map((one) => one['bom-ref'])]);
    for (const { ref, dependsOn } of dependencies)
      assert.ok(known.has(ref) && dependsOn.every((one) => known.has(one)), ref);
  }
});

test('an incomplete release is stopped', async () => {
  const release = join(folder.path, 'release');
  mkdirSync(release);
  for (const name of ['package.json', 'Cargo.toml', 'CHANGELOG.md'])
    copyFileSync(join(ROOT, name), join(release, name));
  const { version } = readManifest();
  writeFileSync(join(release, 'CHANGELOG.md'), `# Changelog\n\n## ${version} (unreleased)\n`);
  const without = (name) => [NOTICES, SBOM].map((file) => `${name} has no ${file}`);
  const lacking = platforms().map((one) => `${one.package} has no binary`);
  assert.deepEqual(obstacles(release, 'v0.0.0'), [
    `package.json has version ${version}, the tag is v0.0.0`,
    `CHANGELOG.md begins with "## ${version} (unreleased)", not with "## ${version}"`,
    'package.json has no repository: npm refuses to state where the packages were built',
    ...without('sshtunnel-native'),
    ...lacking,
  ]);

  writeFileSync(join(release, 'CHANGELOG.md'), `# Changelog\n\n## ${version}\n`);
  writeFileSync(
    join(release, 'package.json'),
    JSON.stringify({ ...readManifest(), repository: { type: 'git', url: 'git+file:///' } }),
  );
  await makePackages(join(release, 'npm'));
  const { here } = packed;
  const asked = here.abi === 'gnu' ? 'GLIBC_2.17' : '';
  const bytes = Buffer.concat([readFileSync(join(ROOT, here.binary)).subarray(0, 4096), Buffer.from(asked)]);
  for (const { name, binary } of platforms()) writeFileSync(join(release, 'npm', name, binary), bytes);
  rmSync(join(release, 'npm', here.name, SBOM));
  const found = obstacles(release, `v${version}`);
  assert.equal(
    found.some((obstacle) => obstacle.startsWith(here.binary)),
    false,
    'that of this platform is right',
  );
  assert.ok(found.includes(`${here.package} has no ${SBOM}`));
  for (const { name, binary } of platforms().filter((one) => one.name !== here.name)) {
    assert.ok(
      found.some((obstacle) => obstacle.startsWith(binary)),
      `${name} has another platform's binary`,
    );
  }
});

test('require() works in an installed package', async () => {
  const printed = await runInProject(
    'a.cjs',
    `
    const all = require('sshtunnel-native');
    const tunnel = new all.SSHTunnel({ host: 'h', forwardHost: 'f', forwardPort: 1 });
    console.log(all.sshtunnel === all.SSHTunnel, tunnel.getLinger());
  `,
  );
  assert.equal(printed, 'true true\n');
});

test('import works in an installed package', async () => {
  const printed = await runInProject(
    'a.mjs',
    `
    import { EventEmitter } from 'node:events';
    import whole, { SSHTunnel, sshtunnel } from 'sshtunnel-native';
    const tunnel = new SSHTunnel({ host: 'h', forwardHost: 'f', forwardPort: 1 });
    console.log(whole.SSHTunnel === SSHTunnel, sshtunnel === SSHTunnel);
    console.log(tunnel instanceof EventEmitter, tunnel.getLinger());
  `,
  );
  assert.equal(printed, 'true true\ntrue true\n');
});

test('the command works in an installed package', async () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const printed = await succeed(join(project, 'node_modules', '.bin', 'sshtunnel'), ['--version'], { cwd: project });
  assert.equal(printed, `sshtunnel ${version}\n`);
});

test('npm install -g installs the command, its completion and its manual page', async () => {
  const prefix = join(folder.path, 'global');
  const files = [packed.main.file, packed.platform.file];
  await succeed('npm', ['install', '--global', '--prefix', prefix, ...files, ...NPM]);
  const command = join(prefix, process.platform === 'win32' ? '' : 'bin', 'sshtunnel');
  assert.match(await succeed(command, ['completion', 'bash']), /^complete .* sshtunnel$/m);
  if (process.platform !== 'win32') assert.ok(existsSync(join(prefix, 'share', 'man', 'man1', 'sshtunnel.1')));
});

test('import has the same exports as require', async () => {
  const printed = await runInProject(
    'names.mjs',
    `
    import { createRequire } from 'node:module';
    import * as imported from 'sshtunnel-native';
    const required = createRequire(import.meta.url)('sshtunnel-native');
    console.log(JSON.stringify([Object.keys(imported), Object.keys(required)]));
  `,
  );
  const [imported, required] = JSON.parse(printed);
  const names = imported.filter((name) => !['default', 'module.exports'].includes(name));
  assert.deepEqual(names.sort(), required.sort());
  assert.deepEqual(Object.keys(own.default).sort(), required.sort());
});

test('sshtunnel-native/tunnel-ssh can be imported', async () => {
  const required = await runInProject(
    'b.cjs',
    `
    const { createTunnel } = require('sshtunnel-native/tunnel-ssh');
    createTunnel({}, {}, {}, {}).catch(({ code }) => console.log(code));
  `,
  );
  const imported = await runInProject(
    'b.mjs',
    `
    import { createTunnel } from 'sshtunnel-native/tunnel-ssh';
    await createTunnel({}, {}, {}, {}).catch(({ code }) => console.log(code));
  `,
  );
  assert.equal(required + imported, 'ERR_INVALID_ARG_TYPE\nERR_INVALID_ARG_TYPE\n');
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

for (const [module, moduleResolution] of [
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
]) {
  test(`tsc --strict accepts the types with moduleResolution ${moduleResolution}`, { timeout: 180_000 }, async () => {
    const types = join(project, 'node_modules', '@types');
    if (!readdirSync(join(project, 'node_modules')).includes('@types')) {
      symlinkSync(join(ROOT, 'node_modules', '@types'), types);
    }
    writeFileSync(join(project, 'program.ts'), PROGRAM);
    const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    await succeed(
      process.execPath,
      [
        compiler,
        '--strict',
        '--noEmit',
        '--target',
        'es2022',
        '--module',
        module,
        '--moduleResolution',
        moduleResolution,
        '--types',
        'node',
        'program.ts',
      ],
      { cwd: project, timeout: 150_000 },
    );
  });
}
