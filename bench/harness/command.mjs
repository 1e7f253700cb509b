// The command as users run it: from a package, which has it in one file, with compiled code from runs before.

import { copyFileSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT } from '../../__test__/helpers/process.mjs';
import { bundle } from '../../scripts/bundle.mjs';

// Node.js 20 parses the certificates of this variable at every start, which takes longer than all the rest of it.
const { NODE_EXTRA_CA_CERTS, ...NODE_ENVIRONMENT } = process.env;
export { NODE_ENVIRONMENT };

/**
 * Makes what a package has of it, in a new folder.
 * @returns its file, and the environment to run it with
 */
export async function stageCommand(folder) {
  const [bin, cache] = ['bin', 'cache'].map((name) => join(folder, name));
  for (const path of [bin, cache]) mkdirSync(path, { recursive: true, mode: 0o700 });
  await bundle(folder);
  const file = join(bin, 'sshtunnel.js');
  copyFileSync(join(ROOT, 'bin', 'sshtunnel.js'), file);
  for (const name of readdirSync(ROOT).filter((name) => name.endsWith('.node')))
    symlinkSync(join(ROOT, name), join(folder, name));
  return { file, env: { ...NODE_ENVIRONMENT, XDG_CACHE_HOME: cache } };
}
