// Pictures of pages by Debian's Chromium.

import { execFileSync } from 'node:child_process';
import { pathToFileURL } from 'node:url';

import { ensurePackages, findProgram } from '../../__test__/helpers/ensure-sshd.mjs';
import { temporaryFolder } from '../../__test__/helpers/keys.mjs';

/** Gives a picture a palette of this many colors: it is then a third of the size. */
export function compress(file, colors) {
  execFileSync(findProgram('pngquant'), ['--force', '--strip', '--speed', '1', '--output', file, String(colors), file]);
}

/**
 * Writes a picture of a page without a background of its own.
 * @param {string} html
 * @param {string} file
 * @param {{ width: number, height: number, scale?: number }} size in CSS pixels, and how many pixels each has
 */
export function picture(html, file, { width, height, scale = 2 }) {
  const packages = ['chromium', 'fonts-dejavu-core', 'pngquant'];
  if (!ensurePackages(['chromium', 'pngquant'], packages)) throw new Error('there is no chromium, or no pngquant');
  const folder = temporaryFolder('chromium');
  try {
    const page = folder.write(html, 'page.html');
    const args = [
      '--headless=new',
      '--no-sandbox', // it runs as root, and nothing but this page
      '--disable-gpu',
      '--hide-scrollbars',
      '--default-background-color=00000000',
      `--user-data-dir=${folder.at('profile')}`,
      `--force-device-scale-factor=${scale}`,
      `--window-size=${width},${height}`,
      `--screenshot=${file}`,
      pathToFileURL(page).href,
    ];
    execFileSync(findProgram('chromium'), args, { stdio: ['ignore', 'ignore', 'ignore'] });
    compress(file, 64);
  } finally {
    folder.remove();
  }
}
