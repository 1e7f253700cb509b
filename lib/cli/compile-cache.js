'use strict';

// Keeps the compiled code of the command between its runs, in the user's folder for caches: Node.js then need not
// compile it at each start. What is kept there is run, so that nobody else may write there.

const fs = require('node:fs');
const nodeModule = require('node:module');
const os = require('node:os');
const path = require('node:path');

const NAME = 'sshtunnel-native';
/** The bits of a mode by which group and others may write. */
const OTHERS_WRITE = 0o022;

/** The user's folder for caches; undefined if there is none, or only a relative path. */
function cacheFolder() {
  const { env, platform } = process;
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

/**
 * Enables the cache where Node.js has one (from 22.1) and its folder is safe. Settings of the user win: Node.js itself
 * heeds NODE_COMPILE_CACHE, the folder to use, and NODE_DISABLE_COMPILE_CACHE.
 */
function enableCompileCache() {
  /** @type {any} newer than its types */
  const { enableCompileCache: enable, getCompileCacheDir: current } = nodeModule;
  const { NODE_COMPILE_CACHE: chosen, NODE_DISABLE_COMPILE_CACHE: disabled } = process.env;
  if (enable === undefined || chosen || disabled || current?.() !== undefined) return;
  try {
    const base = cacheFolder();
    if (base === undefined || !isPrivate(base)) return;
    const folder = path.join(base, NAME);
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (isPrivate(folder)) enable(folder);
  } catch {
    // It may not be written to: this run compiles for itself.
  }
}

module.exports = { enableCompileCache };
