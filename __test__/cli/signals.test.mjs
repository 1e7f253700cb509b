// Signals of Windows, in a process that takes itself for one of it: nothing here can press keys of its console.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { describe } from 'node:test';

import { test } from '../helpers/bounded.mjs';

const SIGNALS = createRequire(import.meta.url).resolve('../../lib/cli/signals.js');

/** Runs a script with the module's exports. */
function onWindows(script) {
  const source = `
    Object.defineProperty(process, 'platform', { value: 'win32' });
    const { Signals, interrupt } = require(${JSON.stringify(SIGNALS)});
    const signals = new Signals(() => console.log('restored'));
    ${script}`;
  const { status, signal, stdout } = spawnSync(process.execPath, ['--eval', source], { encoding: 'utf8' });
  return { ended: signal ?? status, lines: stdout.split('\n').slice(0, -1) };
}

describe('on Windows', () => {
  for (const [name, status] of [
    ['SIGINT', 130],
    ['SIGBREAK', 149],
    ['SIGHUP', 129],
  ]) {
    test(`${name} goes to the handler, and the next one ends the process with a status that tells it`, () => {
      const { ended, lines } = onWindows(`
        signals.handler = (name) => console.log(name);
        for (let times = 0; times < 2; times++) process.emit('${name}', '${name}');
        console.log('not reached');`);
      assert.deepEqual({ ended, lines }, { ended: status, lines: [name, 'restored'] });
    });
  }

  test('Ctrl-C during a question is SIGINT for this process', () => {
    const { ended, lines } = onWindows(`
      signals.handler = (name) => console.log(name);
      interrupt();`);
    assert.deepEqual({ ended, lines }, { ended: 0, lines: ['SIGINT'] });
  });
});
