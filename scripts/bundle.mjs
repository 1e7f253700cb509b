// `npm run bundle`: the command in one file, as packages have it, in dist/. Finding and reading some 80 modules takes
// longer than to connect. A working copy runs the modules.
//
// lib/cli/code-cache.js runs it, with its compiled code of earlier runs.

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

import { replaceFile } from './packages.mjs';
import { ROOT } from './setup.mjs';

/** Paths in dist/ are as deep as those of the modules, which look for files of the package. */
const FOLDER = join('dist', 'cli');
/** What runs the bundle with its compiled code of earlier runs. */
const RUNNER = 'code-cache.js';

/** Writes the bundle, by default into the repository. */
export async function bundle(root = ROOT) {
  const { metafile, outputFiles } = await build({
    absWorkingDir: ROOT,
    bundle: true,
    entryPoints: ['lib/cli/index.js'],
    external: ['*.node', 'sshtunnel-native-*'],
    legalComments: 'none',
    lineLimit: 120,
    metafile: true,
    // Less to read at each start. Names stay: they are in the stacks of errors.
    minifySyntax: true,
    minifyWhitespace: true,
    platform: 'node',
    target: 'node20',
    write: false,
  });
  // The licenses of others would have to be in the package.
  const foreign = Object.keys(metafile.inputs).filter((path) => !/^(?:lib\/|package\.json$)/.test(path));
  if (foreign.length > 0) throw new Error(`the command is to have no code of others: ${foreign.join(', ')}`);
  mkdirSync(join(root, FOLDER), { recursive: true });
  const { text } = outputFiles[0];
  // Compiled code is kept by this name.
  const identity = createHash('sha256').update(text).digest('hex').slice(0, 16);
  replaceFile(root, join(FOLDER, 'index.js'), `// ${identity}\n${text}`);
  replaceFile(root, join(FOLDER, RUNNER), readFileSync(join(ROOT, 'lib', 'cli', RUNNER), 'utf8'));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await bundle();
