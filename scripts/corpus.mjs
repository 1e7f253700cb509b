// `npm run corpus -- DIR`: every key, known_hosts and ssh_config file below a folder, through this package and through
// ssh-keygen and `ssh -G`. Prints how many agree, and each difference; exits with 1 if there is one.
//
//   --passphrase TEXT   of encrypted keys; may be repeated
//   --verbose           also prints what is different by policy
//
// It uses the built addon. Nothing in the files is run: configurations with `Match exec` are left out.

import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';

import { ensurePackages } from '../__test__/helpers/ensure-sshd.mjs';
import { Configs } from './corpus/configs.mjs';
import { Keys } from './corpus/keys.mjs';
import { KnownHosts } from './corpus/known-hosts.mjs';

/** Bytes of the longest file that is looked at. */
const MAX_BYTES = 2 ** 20;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    passphrase: { type: 'string', multiple: true, default: [] },
    verbose: { type: 'boolean', default: false },
  },
});
if (positionals.length !== 1) {
  console.error('usage: npm run corpus -- DIR [--passphrase TEXT]... [--verbose]');
  process.exit(2);
}
if (!ensurePackages(['ssh', 'ssh-keygen'], ['openssh-client'])) process.exit(2);

const [folder] = positionals;
const kinds = [new Keys(values.passphrase), new KnownHosts(), new Configs()];
const counts = new Map();
const policies = new Map();
const differences = [];

/** Files of a folder and of those in it, in a fixed order. */
function* filesIn(path) {
  for (const entry of readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const inner = join(path, entry.name);
    if (entry.isDirectory()) yield* filesIn(inner);
    else if (entry.isFile() && statSync(inner).size <= MAX_BYTES) yield inner;
  }
}

function record({ kind, what, result, reason, refused = false }, file) {
  const row = counts.get(kind) ?? { same: 0, refused: 0, policy: 0, different: 0 };
  row[result] += 1;
  if (refused) row.refused += 1;
  counts.set(kind, row);
  const line = `${relative(folder, file)}${what === undefined ? '' : ` (${what})`}: ${reason}`;
  if (result === 'different') differences.push(`${kind}: ${line}`);
  if (result === 'policy') {
    policies.set(reason, (policies.get(reason) ?? 0) + 1);
    if (values.verbose) console.log(`${kind}, by policy: ${line}`);
  }
}

try {
  for (const file of filesIn(folder)) {
    const bytes = readFileSync(file);
    for (const kind of kinds) {
      for await (const outcome of kind.check(file, bytes)) record(outcome, file);
    }
  }
} finally {
  await Promise.all(kinds.map((kind) => kind.stop?.()));
}

for (const [kind, { same, refused, policy, different }] of counts) {
  const agree = `${same} agree${refused > 0 ? ` (${refused} refused by both)` : ''}`;
  console.log(`${kind}: ${same + policy + different} checked, ${agree}, ${policy} by policy, ${different} different`);
}
for (const [reason, count] of policies) console.log(`by policy, ${count}: ${reason}`);
for (const difference of differences) console.log(`DIFFERENT ${difference}`);
process.exit(differences.length > 0 ? 1 : 0);
