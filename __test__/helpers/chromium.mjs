// Debian's Chromium without a window, driven by puppeteer-core.

import { createRequire } from 'node:module';
import { join } from 'node:path';

import { ensurePackages, findProgram } from './ensure-sshd.mjs';
import { npmProject } from './npm-project.mjs';

/** Whether Chromium is there, now or after installing it; says so if it is not. */
const ensureChromium = () => ensurePackages(['chromium'], ['chromium', 'fonts-dejavu-core']);

/** What a suite says where there is no Chromium. */
export const NO_CHROMIUM = 'Chromium, or what drives it, cannot be had';

/** A package of __test__/drivers, or null. */
export function driver(name) {
  const project = npmProject();
  return project && createRequire(join(project, 'index.js'))(name);
}

/** Starts a browser; null, with a line that says why, where it cannot be had. */
export async function startChromium() {
  const puppeteer = ensureChromium() ? driver('puppeteer-core') : null;
  if (puppeteer === null) return null;
  return puppeteer.launch({
    executablePath: findProgram('chromium'),
    // No port that another program could connect to.
    pipe: true,
    // Root, as which containers run the tests, has no sandbox. Only our own page is loaded.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--force-color-profile=srgb'],
  });
}
