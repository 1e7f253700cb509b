'use strict';

// Reads the log of a tunnel, and follows it: also when the file becomes the older one, and a new one begins.

const fs = require('node:fs');
const path = require('node:path');

const { olderFile } = require('./log.js');

const CHUNK = 64 * 1024;
/** Milliseconds between two looks, where the system does not tell of changes. */
const PERIOD = 500;

/** A file that is read from its beginning, as far as it goes. */
class GrowingFile {
  #descriptor;
  #rest = '';
  #decoder = new TextDecoder();
  inode;

  /** @param {string} file @returns {GrowingFile | undefined} undefined if there is none */
  static open(file) {
    try {
      return new GrowingFile(fs.openSync(file, 'r'));
    } catch (error) {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  constructor(descriptor) {
    this.#descriptor = descriptor;
    this.inode = fs.fstatSync(descriptor, { bigint: true }).ino;
  }

  /** The lines that have come since the last call. @returns {string[]} */
  lines() {
    const room = Buffer.alloc(CHUNK);
    const lines = [];
    for (;;) {
      const count = fs.readSync(this.#descriptor, room, 0, CHUNK, null);
      if (count === 0) return lines;
      const parts = (this.#rest + this.#decoder.decode(room.subarray(0, count), { stream: true })).split('\n');
      this.#rest = parts.pop();
      lines.push(...parts);
    }
  }

  close() {
    fs.closeSync(this.#descriptor);
  }
}

class LogReader {
  #file;
  /** @type {GrowingFile | undefined} */
  #current;
  #isBehind = true;

  /** @param {string} file */
  constructor(file) {
    this.#file = file;
  }

  /** The lines since the last call; at first, all of both files. @returns {string[]} */
  lines() {
    const lines = [];
    // The present file is opened first: if it becomes the older one now, it is known by its number.
    this.#current ??= GrowingFile.open(this.#file);
    if (this.#isBehind) lines.push(...this.#older([this.#current?.inode]));
    this.#isBehind = false;
    for (;;) {
      if (this.#current === undefined) return lines;
      lines.push(...this.#current.lines());
      const next = GrowingFile.open(this.#file);
      if (next === undefined || next.inode === this.#current.inode) {
        next?.close();
        return lines;
      }
      // It has become the older one, and may have grown before it did; or one between them has become that.
      lines.push(...this.#current.lines(), ...this.#older([this.#current.inode, next.inode]));
      this.#current.close();
      this.#current = next;
    }
  }

  /** The lines of the older file, unless that is one of these. */
  #older(inodes) {
    const older = GrowingFile.open(olderFile(this.#file));
    if (older === undefined) return [];
    try {
      return inodes.includes(older.inode) ? [] : older.lines();
    } finally {
      older.close();
    }
  }

  /** The lines that come from now on, in groups and without end. @returns {AsyncGenerator<string[]>} */
  async *follow() {
    let isChanged = false;
    let wake = () => {};
    watchFolder(path.dirname(this.#file), () => {
      isChanged = true;
      wake();
    });
    for (;;) {
      isChanged = false;
      const lines = this.lines();
      if (lines.length > 0) yield lines;
      else if (!isChanged) await new Promise((resolve) => (wake = () => resolve(undefined)));
    }
  }
}

/** Calls back when a file of the folder changes. */
function watchFolder(folder, changed) {
  const look = () => setInterval(changed, PERIOD);
  try {
    fs.watch(folder, changed).once('error', look);
  } catch {
    // The system has no watch left.
    look();
  }
}

module.exports = { LogReader };
