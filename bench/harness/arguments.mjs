// The command line of `npm run bench`.

import { parseArgs } from 'node:util';

const USAGE = 'npm run bench -- [part ...] [--rounds 5] [--quick] [--only peer,peer] [--json FILE] [--no-write]';

/** Fails with a message for people. */
function refuse(message) {
  console.error(`${message}\n${USAGE}`);
  process.exit(2);
}

function read() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        rounds: { type: 'string' },
        quick: { type: 'boolean', default: false },
        only: { type: 'string' },
        json: { type: 'string' },
        'no-write': { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    return refuse(error.message);
  }
}

/** @param parts, peers all that there are */
export function readArguments(parts, peers) {
  const { values, positionals } = read();
  const quick = values.quick;
  const rounds = Number(values.rounds ?? (quick ? 1 : 5));
  if (!(Number.isInteger(rounds) && rounds > 0)) refuse(`--rounds ${values.rounds}`);

  const named = (name) => parts.filter((part) => part.name === name || part.group === name);
  const names = [...new Set(parts.map(({ name, group }) => group ?? name))].join(', ');
  for (const name of positionals) if (named(name).length === 0) refuse(`no part ${name}: ${names}`);
  const chosen =
    positionals.length === 0 ? parts : parts.filter((part) => positionals.some((name) => named(name).includes(part)));

  const only = values.only?.split(',') ?? peers.map(({ name }) => name);
  const unknown = only.find((name) => !peers.some((peer) => peer.name === name));
  if (unknown !== undefined) refuse(`no peer ${unknown}: ${peers.map(({ name }) => name).join(', ')}`);

  return {
    parts: chosen,
    peers: peers.filter(({ name }) => only.includes(name)),
    rounds,
    quick,
    json: values.json,
    // Figures of few rounds, or without those to compare with, are not worth keeping.
    write: !values['no-write'] && !quick && rounds >= 5 && values.only === undefined,
  };
}
