// The resources of this process while it is idle, and whether they grow.

import { readFileSync } from 'node:fs';

import { descriptors, memory } from '../../__test__/helpers/process.mjs';

const MIB = 1024 * 1024;
/** Tolerance for the caches of the allocators. */
const SLACK = { memory: 12 * MIB, heap: 4 * MIB };
/** With fewer samples there is no trend, only a bound. */
const LEAST_SAMPLES = 6;
const BOUND = 96 * MIB;

function threads() {
  return Number(/^Threads:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
}

/** The resources now, after a garbage collection. */
export function sample() {
  const resident = memory();
  return { memory: resident, heap: process.memoryUsage().heapUsed, descriptors: descriptors(), threads: threads() };
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** What grew over the samples, without the first fifth as warm-up; a list of sentences. */
export function growth(samples) {
  const found = [];
  const settled = samples.slice(Math.ceil(samples.length / 5));
  for (const name of ['memory', 'heap']) {
    const values = settled.map((one) => one[name]);
    if (values.length < LEAST_SAMPLES) {
      const grown = Math.max(...samples.map((one) => one[name])) - samples[0]?.[name];
      if (grown > BOUND) found.push(`${name} grew by ${mib(grown)} MiB`);
      continue;
    }
    const third = Math.floor(values.length / 3);
    const grown = median(values.slice(-third)) - median(values.slice(0, third));
    if (grown > SLACK[name]) {
      found.push(`${name} grew by ${mib(grown)} MiB from the first third to the last, after the warm-up`);
    }
  }
  return found;
}

/** Threads that read files and look up names end some seconds after their work. */
const SPARE_THREADS = 8;

/** What is held now and was not before; a list of sentences. */
export function left(before, now) {
  const more = {
    descriptors: now.descriptors > before.descriptors,
    threads: now.threads > before.threads + SPARE_THREADS,
  };
  return Object.keys(more)
    .filter((name) => more[name])
    .map((name) => `${now[name]} ${name} with nothing open, ${before[name]} before`);
}

export const mib = (bytes) => (bytes / MIB).toFixed(1);
