'use strict';

// Runs the command of a package, which is one file, with compiled code from earlier runs: to compile it takes as long as to
// connect. The code is kept in the user's folder for caches. What is there is run, so that nobody else may write there.
//
// Node.js has such a cache from 22.1 on, but keeps only what it has compiled before a file is run, which is little here.

const fs = require('node:fs');
const { createRequire } = require('node:module');
const os = require('node:os');
const path = require('node:path');
const vm = require('node:vm');

const NAME = 'sshtunnel-native';
/** The bits of a mode by which group and others may write. */
const OTHERS_WRITE = 0o022;
/** The first line of the file names what it was made of, as `// <digest>`: V8 compares lengths only. */
const IDENTITY = /^\/\/ ([0-9a-f]+)\n/;

/** The user's folder for caches, or the one that is named for Node.js; undefined if there is none, or only a relative path. */
function cacheFolder() {
  const { env, platform } = process;
  if (env.NODE_COMPILE_CACHE) return path.resolve(env.NODE_COMPILE_CACHE);
  const home = os.homedir();
  const folders = { darwin: path.join(home, 'Library', 'Caches'), win32: env.LOCALAPPDATA };
  const folder = platform in folders ? folders[platform] : env.XDG_CACHE_HOME || path.join(home, '.cache');
  return folder !== undefined && path.isAbsolute(folder) ? folder : undefined;
}

/** Whether a folder belongs to this user, and nobody else may write to it. On Windows its place says that. */
function isPrivate(folder) {
  const stats = fs.statSync(folder, { throwIfNoEntry: false });
  if (!stats?.isDirectory()) return false;
  return process.geteuid === undefined || (stats.uid === process.geteuid() && (stats.mode & OTHERS_WRITE) === 0);
}

/** The folder that the code is kept in; undefined if there is none that is safe. */
function ownFolder() {
  if (process.env.NODE_DISABLE_COMPILE_CACHE) return undefined;
  const base = cacheFolder();
  if (base === undefined || !isPrivate(base)) return undefined;
  const folder = path.join(base, NAME);
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  return isPrivate(folder) ? folder : undefined;
}

/** The compiled code of one file, for this version of Node.js. */
class CodeCache {
  #folder;
  #prefix = `${process.version}-${process.arch}-`;
  #name;

  /** @param {string} folder @param {string} identity of the file */
  constructor(folder, identity) {
    this.#folder = folder;
    this.#name = `${this.#prefix}${identity}`;
  }

  /** @returns {Buffer | undefined} */
  read() {
    try {
      return fs.readFileSync(path.join(this.#folder, this.#name));
    } catch {
      return undefined;
    }
  }

  /** Keeps the code in place of that of other versions of the file. Another process may read or write it at the same time. */
  write(code) {
    const file = path.join(this.#folder, this.#name);
    const unfinished = `${file}.${process.pid}`;
    fs.writeFileSync(unfinished, code, { mode: 0o600 });
    fs.renameSync(unfinished, file);
    const others = fs.readdirSync(this.#folder).filter((name) => name.startsWith(this.#prefix) && name !== this.#name);
    for (const name of others) fs.rmSync(path.join(this.#folder, name), { force: true });
  }
}

/** @param {string} source of the file @returns {CodeCache | undefined} undefined: nothing is kept */
function cacheOf(source) {
  try {
    const [, identity] = IDENTITY.exec(source) ?? [];
    const folder = identity && ownFolder();
    return folder ? new CodeCache(folder, identity) : undefined;
  } catch {
    // The folder may not be written to, or not be read.
    return undefined;
  }
}

/**
 * Runs a CommonJS module with its kept code, as require() would without it.
 * @param {string} file
 * @returns {{ exports: any, keep: () => void }} keep: keeps the code that has been compiled until then, unless some was kept
 */
function runCached(file) {
  const source = fs.readFileSync(file, 'utf8');
  const cache = cacheOf(source);
  const cachedData = cache?.read();
  const wrapped = `(function (exports, require, module, __filename, __dirname) { ${source}\n})`;
  const script = new vm.Script(wrapped, { filename: file, cachedData });
  const module = { exports: {} };
  script.runInThisContext()(module.exports, createRequire(file), module, file, path.dirname(file));
  let isKept = cache === undefined || (cachedData !== undefined && script.cachedDataRejected === false);
  const keep = () => {
    if (isKept) return;
    isKept = true;
    try {
      cache.write(script.createCachedData());
    } catch {
      // The next run compiles for itself, too.
    }
  };
  return { exports: module.exports, keep };
}

module.exports = { runCached };
