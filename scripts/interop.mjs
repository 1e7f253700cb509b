// `npm run interop`: every server that can be had here, with everything that it and a tunnel have in
// common; prints the table and writes it into docs/interop.md. With names of servers, such as
// `npm run interop -- asyncssh`, it tries these and writes nothing.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { ensureSshd } from '../__test__/helpers/ensure-sshd.mjs';
import { withSection } from './section.mjs';
import { ROOT, setup } from './setup.mjs';

const PAGE = join(ROOT, 'docs', 'interop.md');
const MARKS = { begin: '<!-- written by npm run interop -->', end: '<!-- end of the servers -->' };

setup();
if (!ensureSshd()) process.exit(1);
const { matrix } = await import('../interop/matrix.mjs');
const { notes, table } = await import('../interop/table.mjs');

/** What a case leaves to be done after it, the last first. */
class Cleanup {
  #steps = [];

  after(step) {
    this.#steps.push(step);
  }

  async run() {
    for (const step of this.#steps.reverse()) await step();
  }
}

/** In milliseconds: some servers compute long key exchanges in Python. */
const LIMIT = 120_000;

async function outcome({ run }) {
  const cleanup = new Cleanup();
  try {
    const late = setTimeout(LIMIT, true, { ref: false });
    if ((await Promise.race([run(cleanup), late])) === true) throw new Error(`not over after ${LIMIT / 1000} s`);
    return null;
  } catch (error) {
    return error;
  } finally {
    await cleanup.run();
  }
}

const wanted = process.argv.slice(2);
const { servers, missing, stop } = await matrix(wanted.length > 0 ? wanted : undefined);
for (const server of servers) {
  for (const one of server.cases) {
    if (one.flaw || one.lack) continue;
    const since = performance.now();
    one.error = await outcome(one);
    const said = one.error ? `FAILED: ${one.error.message}` : 'ok';
    console.log(
      `${server.name}: ${one.kind} ${one.name}: ${said} (${((performance.now() - since) / 1000).toFixed(1)} s)`,
    );
  }
}
await stop();

const rows = table(servers);
console.log(`\n${rows}`);
if (wanted.length > 0) process.exit(servers.some(({ cases }) => cases.some(({ error }) => error)) ? 1 : 0);
if (missing.length > 0) {
  console.error(
    `\nNot tried, as they cannot be had here: ${missing.map(({ name }) => name).join(', ')}. Nothing was written.`,
  );
  process.exit(1);
}
const body = `${rows}\n\n${notes(servers).join('\n')}`;
writeFileSync(PAGE, withSection('docs/interop.md', readFileSync(PAGE, 'utf8'), MARKS, body));
process.exit(servers.some(({ cases }) => cases.some(({ error }) => error)) ? 1 : 0);
