// Tools that are programs of Rust, in one version each: to compile one takes minutes, so that it comes as a binary, by a
// package of PyPI whose digests are pinned in a file beside this one.

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { findProgram } from '../__test__/helpers/ensure-sshd.mjs';
import { ROOT } from './setup.mjs';

/** The environment of Python for tools, and where the crates among them are installed. */
export const TOOLS = join(ROOT, 'target', 'tools');
const SCRIPTS = process.platform === 'win32' ? 'Scripts' : 'bin';

export const run = (command, args, stdio = 'inherit') =>
  spawnSync(command, args, { cwd: ROOT, stdio, encoding: 'utf8' });

/**
 * The tool in its version: the user's own, one that was installed before, or one that is now. Ends the process where
 * there is none.
 * @param {{ name: string, crate?: string, version: string, pinned: string }} tool pinned: a file of this folder
 * @returns {string} its path, or its name
 */
export function pinnedTool({ name, crate = name, version, pinned }) {
  const isRight = (program) => run(program, ['--version'], 'pipe').stdout?.trim() === `${crate} ${version}`;
  const right = () => [name, join(TOOLS, SCRIPTS, name), join(TOOLS, 'bin', name)].find(isRight);
  const found = right();
  if (found !== undefined) return found;
  if (installPython(pinned)) {
    const installed = right();
    if (installed !== undefined) return installed;
  }
  console.error(`No binary of ${name} can be had here: it is compiled, which takes some minutes.`);
  run('cargo', ['install', '--locked', '--quiet', '--version', version, '--root', TOOLS, crate]);
  const built = right();
  if (built !== undefined) return built;
  console.error(`${name} ${version} cannot be installed here`);
  process.exit(1);
}

/**
 * Installs packages of PyPI in the environment of Python for tools, or in a folder.
 * @param {string} pinned a file of this folder with their digests
 * @param {string} [folder] for another Python, by its PYTHONPATH
 * @returns {boolean} whether that is possible here
 */
export function installPython(pinned, folder) {
  if (!ensurePython()) return false;
  const options = ['--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:', '--require-hashes'];
  const requirements = ['--requirement', join(ROOT, 'scripts', pinned)];
  const target = folder === undefined ? [] : ['--target', folder, '--upgrade'];
  const install = ['-m', 'pip', 'install', ...options, ...target, ...requirements];
  return run(join(TOOLS, SCRIPTS, 'python'), install).status === 0;
}

/** Whether the environment of Python for tools is there or can be made; Debian has the module in a package of its own. */
export function ensurePython() {
  mkdirSync(TOOLS, { recursive: true });
  const make = () => run('python3', ['-m', 'venv', TOOLS], 'pipe').status === 0;
  if (make()) return true;
  if (process.platform !== 'linux' || process.getuid() !== 0 || findProgram('apt-get') === null) return false;
  const apt = (...args) => run('apt-get', ['-qq', ...args], 'ignore').status === 0;
  return apt('update') && apt('install', '-y', '--no-install-recommends', 'python3-venv') && make();
}
