// A project with the packages that the programs of docs/recipes.md and docs/runtimes.md use, installed once into target/.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';

import { reportedLibc } from '../../lib/native/libc.js';
import { ROOT } from './process.mjs';

const MANIFESTS = ['package.json', 'package-lock.json'];
const SOURCE = join(ROOT, '__test__', 'drivers');

/**
 * The folder of the project, which is installed if its lock file has changed; null, with a line that says why, where it
 * cannot be had. Its `node_modules/sshtunnel-native` is this repository.
 */
export function npmProject() {
  const hash = createHash('sha256');
  for (const name of MANIFESTS) hash.update(readFileSync(join(SOURCE, name)));
  // Packages with native code are installed for the C library of this Node.js.
  if (process.platform === 'linux') hash.update(reportedLibc().abi);
  const kept = join(ROOT, 'target', 'npm');
  const folder = join(kept, `project-${hash.digest('hex').slice(0, 12)}`);
  if (existsSync(folder)) return folder;
  mkdirSync(kept, { recursive: true });
  const scratch = mkdtempSync(join(kept, '.project-'));
  try {
    for (const name of MANIFESTS) copyFileSync(join(SOURCE, name), join(scratch, name));
    // No install scripts: the packages work without them, and some would compile code.
    const args = ['ci', '--no-audit', '--no-fund', '--ignore-scripts', '--prefer-offline', '--loglevel', 'error'];
    const windows = process.platform === 'win32';
    const { status, stderr } = spawnSync('npm', args, { cwd: scratch, encoding: 'utf8', shell: windows });
    if (status !== 0) throw new Error(stderr.trim().split('\n')[0]);
    symlinkSync(ROOT, join(scratch, 'node_modules', 'sshtunnel-native'), 'junction');
    // Another suite may have done the same meanwhile.
    if (!existsSync(folder)) renameSync(scratch, folder);
    return folder;
  } catch (error) {
    console.error(`the packages of ${join('__test__', 'drivers')} cannot be installed: ${error.message}`);
    return null;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
