// Draws docs/images/web-light.png and web-dark.png: the web page of a command that runs, in Chromium.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { startChromium } from '../../__test__/helpers/chromium.mjs';
import { ensurePackages } from '../../__test__/helpers/ensure-sshd.mjs';
import { ROOT } from '../setup.mjs';
import { compress } from './chromium.mjs';
import { Scene } from './page-scene.mjs';

const WIDTH = 1200;
/** Milliseconds until the lines of the last minute have a shape. */
const WARM = 40_000;
const SCHEMES = ['light', 'dark'];

/** @param {string} folder */
export async function shoot(folder) {
  const browser = await startChromium();
  if (browser === null || !ensurePackages(['pngquant'], ['pngquant', 'fonts-dejavu-core']))
    throw new Error('there is no chromium, or no pngquant');
  const scene = await Scene.start();
  const command = spawn(process.execPath, [join(ROOT, 'bin', 'sshtunnel.js'), '--json', '--web', '0', ...scene.args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const { url } = await listening(command);
    const pages = new Map();
    for (const scheme of SCHEMES) pages.set(scheme, await open(browser, url, scheme));
    await scene.play();
    await setTimeout(WARM);
    for (const [scheme, page] of pages) {
      const file = join(folder, `web-${scheme}.png`);
      await page.bringToFront();
      await page.screenshot({ path: file, fullPage: true });
      compress(file, 128);
    }
  } finally {
    const ended = once(command, 'exit');
    command.kill('SIGKILL');
    await ended;
    await browser.close();
    await scene.stop();
  }
}

/** Waits until the command listens, and gives the event of its page. */
async function listening(command) {
  let text = '';
  command.stdout.setEncoding('utf8').on('data', (part) => (text += part));
  for (;;) {
    const lines = text.split('\n').slice(0, -1);
    const events = lines.map((line) => JSON.parse(line));
    const find = (name, kind) => events.find((it) => it.event === name && it.kind === kind);
    // It is the last one of the command line.
    if (find('listening', 'dynamic')) return find('web');
    if (command.exitCode !== null) throw new Error('the command has ended');
    await once(command.stdout, 'data');
  }
}

async function open(browser, url, scheme) {
  const page = await (await browser.createBrowserContext()).newPage();
  await page.setViewport({ width: WIDTH, height: 600 });
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await page.goto(url);
  return page;
}
