'use strict';

// The C library that this Node.js was built for: its addons need the same one.

const fs = require('node:fs');

/** This program, as the system runs it, wherever its file is now. */
const PROGRAM = '/proc/self/exe';
/** Bytes of a program that hold its headers, and nearly always the name of its interpreter. */
const HEAD = 2048;
/** Fields of a 64-bit ELF file with the bytes in little-endian order: see elf(5). */
const ELF = Buffer.from('7f454c460201', 'hex');
const PT_INTERP = 3;

/** @typedef {'gnu' | 'musl'} Abi */

/**
 * The C library by the program's interpreter, which comes with it. A look at the file takes a hundredth of the time of
 * a report.
 * @returns {Abi | undefined} undefined if the program does not tell, such as one that is linked statically
 */
function abiOfProgram() {
  const { bun, deno } = process.versions;
  // Deno would ask the user whether this file may be read.
  if (bun !== undefined || deno !== undefined) return undefined;
  try {
    const descriptor = fs.openSync(PROGRAM, 'r');
    try {
      return abiOfInterpreter(interpreter(descriptor));
    } finally {
      fs.closeSync(descriptor);
    }
  } catch {
    // There is no /proc, or it may not be read.
    return undefined;
  }
}

/** @returns {string | undefined} the path of the program's interpreter */
function interpreter(descriptor) {
  const head = read(descriptor, 0, HEAD);
  if (!head.subarray(0, ELF.length).equals(ELF)) return undefined;
  const [start, size, count] = [Number(head.readBigUInt64LE(32)), head.readUInt16LE(54), head.readUInt16LE(56)];
  for (let at = start; at < start + size * count; at += size) {
    if (head.readUInt32LE(at) !== PT_INTERP) continue;
    const [offset, length] = [Number(head.readBigUInt64LE(at + 8)), Number(head.readBigUInt64LE(at + 32))];
    // It ends in a zero byte.
    return read(descriptor, offset, Math.min(length, HEAD)).toString('latin1').replace(/\0$/, '');
  }
  return undefined;
}

function read(descriptor, position, length) {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, fs.readSync(descriptor, bytes, 0, length, position));
}

/** @returns {Abi | undefined} */
function abiOfInterpreter(path = '') {
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (name.startsWith('ld-linux-')) return 'gnu';
  return name.startsWith('ld-musl-') ? 'musl' : undefined;
}

/**
 * The C library as Node.js reports it, which takes some milliseconds.
 * @returns {{ abi: Abi, library: string }} library: in words
 */
function reportedLibc() {
  /** @type {any} newer than its types: `excludeNetwork`, and what is in a report */
  const report = process.report;
  const { excludeNetwork } = report;
  report.excludeNetwork = true; // the names of all peers would be looked up otherwise
  const { glibcVersionRuntime: version } = report.getReport().header;
  report.excludeNetwork = excludeNetwork;
  return version === undefined ? { abi: 'musl', library: 'musl' } : { abi: 'gnu', library: `glibc ${version}` };
}

module.exports = { abiOfProgram, reportedLibc };
