// `npm run screenshots`: takes the pictures of docs/images, each in dark and in light, from commands that really run. It needs
// Linux, root and Debian's packages, which it installs if they are missing.
//
//   npm run screenshots -- [view] [page]

import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { ROOT, setup } from './setup.mjs';

/** The modules of scripts/screenshots that take pictures: `shoot(folder)` writes them. */
const SUBJECTS = ['view', 'page'];
/** Bytes of a picture, at most. */
const MAX_BYTES = 100 * 1024;

setup();
const folder = join(ROOT, 'docs', 'images');
mkdirSync(folder, { recursive: true });
const chosen = process.argv.slice(2);
for (const subject of SUBJECTS) {
  const module = join(ROOT, 'scripts', 'screenshots', `${subject}.mjs`);
  if (!existsSync(module) || (chosen.length > 0 && !chosen.includes(subject))) continue;
  const { shoot } = await import(module);
  await shoot(folder);
}
for (const name of readdirSync(folder).filter((name) => name.endsWith('.png'))) {
  const { size } = statSync(join(folder, name));
  console.log(`docs/images/${name}: ${Math.ceil(size / 1024)} KiB`);
  if (size <= MAX_BYTES) continue;
  console.error(`docs/images/${name} is larger than ${MAX_BYTES} bytes`);
  process.exitCode = 1;
}
