// `npm run interop`: every server that can be had here, with everything that it and a tunnel have in
// common; prints the table and writes docs/interop.md.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { ensureSshd } from '../__test__/helpers/ensure-sshd.mjs';
import { ROOT, setup } from './setup.mjs';

setup();
if (!ensureSshd()) process.exit(1);
const { matrix } = await import('../interop/matrix.mjs');
const { flaws, table } = await import('../interop/table.mjs');

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

async function outcome({ run }) {
  const cleanup = new Cleanup();
  try {
    await run(cleanup);
    return null;
  } catch (error) {
    return error;
  } finally {
    await cleanup.run();
  }
}

const { servers, missing, stop } = await matrix();
for (const server of servers) {
  for (const one of server.cases) {
    if (one.flaw) continue;
    one.error = await outcome(one);
    const said = one.error ? `FAILED: ${one.error.message}` : 'ok';
    console.log(`${server.name}: ${one.kind} ${one.name}: ${said}`);
  }
}
await stop();

const rows = table(servers);
console.log(`\n${rows}`);
if (missing.length > 0) {
  console.error(`\nNot tried, as they cannot be had here: ${missing.join(', ')}. Nothing was written.`);
  process.exit(1);
}
writeFileSync(
  join(ROOT, 'docs/interop.md'),
  `# Servers that a tunnel was tried with

Written by \`npm run interop\`; \`npm test\` runs the same cases. In each of them the server may use one
algorithm of the kind alone: a tunnel logs on, sends 16 MiB to a target behind the server and gets
them back, both compared by SHA-256, and agrees on new keys every 4 MiB meanwhile.

"yes": it went so. "–": the server does not have it. "no": the server offers it and cannot do it.

${rows}

${flaws(servers).join('\n')}
`,
);
process.exit(servers.some(({ cases }) => cases.some(({ error }) => error)) ? 1 : 0);
