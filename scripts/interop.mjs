// `npm run interop`: every server that can be had here, with everything that it and a tunnel have in
// common; prints the table and writes docs/interop.md. With names of servers, such as
// `npm run interop -- asyncssh`, it tries these and writes nothing.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { ensureSshd } from '../__test__/helpers/ensure-sshd.mjs';
import { ROOT, setup } from './setup.mjs';

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
writeFileSync(
  join(ROOT, 'docs/interop.md'),
  `# Tested SSH servers

Written by \`npm run interop\`. \`npm test\` runs all cases of the first four servers; of the others it runs one case of each kind,
every authentication method, and the behavior.

In each case the server may use a single algorithm of the kind. The tunnel connects, sends 16 MiB to a target behind the server and
receives them back, both compared by SHA-256, and exchanges keys every 4 MiB meanwhile.

The behavior of a server is checked at both ends of the connection, and in the tunnel's report:

- half-close: one side ends its stream; all data of the other side still arrives, then its end of stream
- remote forward: a port of the server leads to a target on this side, with a given port or one that the server chooses (port 0).
  After it is cancelled nothing listens on the port any more, and its connections stay open
- rekey by the server: it exchanges keys every MiB while 8 MiB are sent each way; the client does not
- server killed: the local client reads what was delivered, then ECONNRESET; the report has ERR_SSH_DISCONNECTED and counts these bytes

"yes": it works. "logon": authentication works, and a connection is refused without harm to the session; the server forwards nothing.
"–": the server does not support it, or was started without it. "no": the server offers it and cannot do it.

${rows}

${notes(servers).join('\n')}
`,
);
process.exit(servers.some(({ cases }) => cases.some(({ error }) => error)) ? 1 : 0);
