// `npm run pack`: what users of this platform install, made of what was built here: the package, and the
// one with this platform's binary. Fails where they hold other files than they are to, or too much.
//
//   npm run pack -- [--into <folder, the repository's own by default>]

import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { bundle } from './bundle.mjs';
import { brokenLinks } from './links.mjs';
import { makePackages } from './make-packages.mjs';
import { NOTICES, SBOM, faults, isOwn, libcFaults, platforms, readManifest } from './packages.mjs';
import { ROOT } from './setup.mjs';

/** The package without binaries, unpacked: what users load and read, notices apart. */
const MAX_BYTES = 1600 * 1024;
const MAIN = [
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'LICENSE',
  'README.md',
  'SECURITY.md',
  NOTICES,
  'index.d.ts',
  'index.js',
  'package.json',
  'promises.d.ts',
  'promises.js',
  'opentelemetry.d.ts',
  'opentelemetry.js',
  'prometheus.d.ts',
  'prometheus.js',
  'tunnel-ssh.d.ts',
  'tunnel-ssh.js',
];
const BESIDE_BINARY = ['LICENSE', 'README.md', NOTICES, 'package.json'];

function npmPack(folder, into) {
  const { status, stdout, stderr } = spawnSync(
    'npm',
    ['pack', '--json', '--ignore-scripts', '--pack-destination', into],
    {
      cwd: folder,
      encoding: 'utf8',
      shell: process.platform === 'win32', // npm is a batch file there
    },
  );
  if (status !== 0) throw new Error(`npm pack: ${stderr}`);
  // Npm 10 prints a list, later ones an object by name.
  const [{ name, filename, files, size, unpackedSize }] = Object.values(JSON.parse(stdout));
  return { name, file: join(into, filename), files: files.map(({ path }) => path).sort(), size, unpackedSize };
}

/** What belongs into the folders that package.json lists. */
const KINDS = {
  bin: /\.js$/,
  dist: /\.js$/,
  deploy: /(?:\.(?:json|service|socket|yaml)|\/Dockerfile(?:\.dockerignore)?)$/,
  docs: /\.(?:md|svg)$/,
  examples: /\.mjs$/,
  lib: /\.(?:js|mjs|html|css|svg|bash|fish|zsh)$/,
  man: /\.1$/,
};

/** Whether a path is one of `<folder>/**\/*<ending>`. */
function isModule(path, pattern) {
  const [folder, ending] = pattern.split('**/*');
  return ending !== undefined && path.startsWith(folder) && path.endsWith(ending);
}

/** The files in these folders that package.json does not exclude. */
function inFolders() {
  const { files: listed } = readManifest();
  const folders = Object.keys(KINDS).map((name) => join(ROOT, name));
  const entries = folders.flatMap((path) => readdirSync(path, { recursive: true, withFileTypes: true }));
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  const paths = files.map((path) => relative(ROOT, path).replaceAll('\\', '/'));
  const left = listed.filter((name) => name.startsWith('!')).map((name) => name.slice(1));
  const isLeft = (path) => left.some((name) => path === name || path.startsWith(`${name}/`) || isModule(path, name));
  return paths.filter((path) => !isLeft(path));
}

const difference = (some, others) => some.filter((one) => !others.includes(one));

function misfits({ name, files }, expected) {
  return [
    ...difference(files, expected).map((file) => `${name} has ${file}`),
    ...difference(expected, files).map((file) => `${name} lacks ${file}`),
  ];
}

/**
 * Packs the package and that of a platform, by default this one.
 * @param into an existing folder
 * @param {(platform: object) => boolean} [isWanted]
 * @returns both, and what is wrong with them; `binaryFaults` apart, for a debug build has some
 */
export async function pack(into, isWanted = isOwn) {
  const here = platforms().find((one) => isWanted(one) && existsSync(join(ROOT, one.binary)));
  if (here === undefined) throw new Error('there is no binary: npm run build');
  const folder = mkdtempSync(join(tmpdir(), 'sshtunnel-pack-'));
  try {
    const hasSboms = await makePackages(folder);
    if (!hasSboms) console.error('Neither cargo nor the files of npm run sbom are here: the packages lack SBOMs.');
    await bundle();
    const sbom = hasSboms ? [SBOM] : [];
    copyFileSync(join(ROOT, here.binary), join(folder, here.name, here.binary));
    const main = npmPack(ROOT, into);
    const platform = npmPack(join(folder, here.name), into);
    const rest = inFolders();
    const found = [
      ...misfits(main, [...MAIN, ...sbom, ...rest]),
      ...misfits(platform, [...BESIDE_BINARY, ...sbom, here.binary]),
      ...rest.filter((file) => !KINDS[file.split('/')[0]].test(file)).map((file) => `${file} does not belong there`),
      ...brokenLinks(ROOT, main.files),
    ];
    const size = main.unpackedSize - statSync(join(ROOT, NOTICES)).size;
    if (size > MAX_BYTES) found.push(`${main.name} has ${size} bytes, more than ${MAX_BYTES}`);
    const bytes = readFileSync(join(ROOT, here.binary));
    const binaryFaults = [...faults(bytes, here), ...libcFaults(bytes, here)].map((fault) => `${here.binary} ${fault}`);
    return { main, platform, here, faults: found, binaryFaults };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { into: { type: 'string', default: ROOT } } });
  const into = resolve(values.into);
  mkdirSync(into, { recursive: true });
  const { main, platform, faults: found, binaryFaults } = await pack(into);
  for (const { file, files, size, unpackedSize } of [main, platform]) {
    const kib = (bytes) => `${Math.ceil(bytes / 1024)} KiB`;
    console.log(`${file}: ${files.length} files, ${kib(size)}, unpacked ${kib(unpackedSize)}`);
  }
  const all = [...found, ...binaryFaults];
  for (const fault of all) console.error(`This may not be published: ${fault}`);
  process.exit(all.length > 0 ? 1 : 0);
}
