// The program that makes and serves the traffic: bench/load, in Rust.

import { join } from 'node:path';

import { ROOT } from '../../scripts/setup.mjs';
import { Program } from './programs.mjs';

export const LOAD = join(ROOT, 'target', 'release', 'sshtunnel-load');
const LIMIT = 60_000; // ms that one measurement may take

/** `{ atOnce: 3, any: true }` as `--at-once 3 --any`. */
function flags(options) {
  return Object.entries(options).flatMap(([name, value]) => {
    const flag = `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    if (value === true) return [flag];
    return value === undefined || value === false ? [] : [flag, String(value)];
  });
}

/** Starts a subcommand that stays: what it said first, and the program. */
export async function serve(subcommand, options, limit = LIMIT) {
  const program = new Program(LOAD, [subcommand, ...flags(options)]);
  try {
    return { ...(await program.line(limit)), program };
  } catch (error) {
    await program.stop();
    throw error;
  }
}

/** Runs a subcommand that measures, to its end: its result, and what it said of failures. */
export async function measure(subcommand, options, limit = LIMIT) {
  const program = new Program(LOAD, [subcommand, ...flags(options)]);
  try {
    const result = await program.line(limit);
    return { ...result, reason: program.said };
  } finally {
    await program.stop();
  }
}

/** A result in which every connection did what it should, or an error. */
export function complete(result) {
  if (result.failures > 0) throw new Error(`${result.failures} connections failed: ${result.reason}`);
  return result;
}
