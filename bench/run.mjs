// `npm run bench`: how fast a tunnel is, beside others, on this machine. Prints tables and goals, and
// writes docs/speed.md.
//
//   npm run bench -- [part ...] [--rounds 5] [--quick] [--only peer,peer] [--json FILE] [--no-write]
//
// Nothing is written by a run with less than 5 rounds or without some of the peers. Ends with exit code
// 0 whatever the figures say: a peer that fails is a result.

import { writeFileSync } from 'node:fs';

import { readArguments } from './harness/arguments.mjs';
import { prepare } from './harness/prepare.mjs';
import { FROM_NPM, PEERS } from './peers/index.mjs';
import { PARTS } from './parts/index.mjs';

const options = readArguments(PARTS, PEERS);
const names = options.peers.map(({ name }) => name);
const fromNpm = [
  ...names.filter((name) => FROM_NPM.includes(name)),
  ...options.parts.flatMap(({ needs = [] }) => needs),
];
prepare({ npm: fromNpm.length > 0, release: !options.quick });

// These need what has just been made ready.
const { Context } = await import('./harness/context.mjs');
const { runPart } = await import('./harness/rounds.mjs');
const { machine, versions } = await import('./harness/machine.mjs');
const { goals, goalTable } = await import('./harness/goals.mjs');
const { failures, table } = await import('./harness/table.mjs');

// As an exit, it takes all programs with it.
for (const name of ['SIGINT', 'SIGHUP']) process.once(name, () => process.exit(130));

const stamp = {
  date: new Date().toISOString().slice(0, 10),
  rounds: options.rounds,
  machine: machine(),
  versions: versions(),
};
const context = await Context.start(options);
const parts = [];
try {
  for (const part of options.parts) {
    const result = await runPart(part, context, (line) => console.error(line));
    parts.push(result);
    const shown = [`\n## ${result.title}`, table(result), ...failures(result)];
    console.log(`${shown.join('\n')}\n`);
  }
} finally {
  await context.stop();
}

const reached = goals(parts);
if (reached.length > 0) console.log(`## Goals\n${goalTable(reached)}\n`);
if (options.json) {
  const text = JSON.stringify({ ...stamp, quick: options.quick, parts, goals: reached }, null, 1);
  writeFileSync(options.json, `${text}\n`);
}
if (options.write) {
  const { write } = await import('./harness/page.mjs');
  write(parts, stamp, PARTS);
}
