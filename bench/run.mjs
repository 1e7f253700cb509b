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
