'use strict';

// Loads the addon, or throws an error that says why it cannot.

const { version } = require('../../package.json');
const { noBinary } = require('../errors.js');
const binaries = require('./binaries.js');
const { abiOfProgram, reportedLibc } = require('./libc.js');

/** The name that the package of this platform would have. */
function platformName() {
  const { platform, arch } = process;
  const abi = { linux: () => abiOfProgram() ?? reportedLibc().abi, win32: () => 'msvc' }[platform]?.();
  return [platform, arch, abi].filter(Boolean).join('-');
}

/** This platform in words. */
function describe() {
  const { platform, arch, version: node } = process;
  const library = platform === 'linux' ? reportedLibc().library : undefined;
  return [`${platform} ${arch}`, library, `Node.js ${node}`].filter(Boolean).join(', ');
}

/** The addon as a loader gives it: bundlers may wrap it, or put something else in its place. */
function checkAddon(loaded) {
  const addon = [loaded, loaded?.default].find((each) => typeof each?.attach === 'function');
  if (addon !== undefined) return addon;
  const what = typeof loaded === 'string' ? `'${loaded.slice(0, 80)}'` : typeof loaded;
  const reason =
    `loading the one that is installed gives something else (${what}), as a bundler does that puts a file in place of ` +
    "its exports. Declare 'sshtunnel-native' as external there";
  throw noBinary(describe(), reason);
}

/** Loads the file that the environment names. */
function loadNamed(path) {
  try {
    return checkAddon(require(path));
  } catch (error) {
    if (error.code === 'ERR_TUNNEL_NO_BINARY') throw error;
    const [first] = error.message.split('\n');
    throw noBinary(describe(), `NAPI_RS_NATIVE_LIBRARY_PATH does not lead to one: ${first}`, error);
  }
}

/** @returns {typeof import('../../binding.js')} */
function load() {
  const { NAPI_RS_NATIVE_LIBRARY_PATH: named } = process.env;
  if (named) return loadNamed(named);
  const name = platformName();
  const binary = binaries[name];
  if (binary === undefined)
    throw noBinary(describe(), `there are binaries for ${Object.keys(binaries).join(', ')} only`);
  let missing;
  for (const attempt of [binary.built, binary.installed]) {
    try {
      return checkAddon(attempt());
    } catch (error) {
      if (error.code === 'ERR_TUNNEL_NO_BINARY') throw error;
      if (error.code !== 'MODULE_NOT_FOUND') {
        throw noBinary(describe(), `the one that is installed does not load: ${error.message}`, error);
      }
      missing = error;
    }
  }
  const reason =
    `the package sshtunnel-native-${name} ${version} is not installed. It is an optional dependency: install ` +
    'again with those, on this platform, and without a lock file or a node_modules of another one';
  throw noBinary(describe(), reason, missing);
}

module.exports = load();
