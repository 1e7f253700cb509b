'use strict';

// Loads the addon, or throws an error that says why it cannot.

const { version } = require('../../package.json');
const { noBinary } = require('../errors.js');
const binaries = require('./binaries.js');

/** The C library of a Linux system, which binaries depend on. */
function libc() {
  /** @type {any} newer than its types: `excludeNetwork`, and what is in a report */
  const report = process.report;
  const { excludeNetwork } = report;
  report.excludeNetwork = true; // the names of all peers would be looked up otherwise
  const { glibcVersionRuntime: version } = report.getReport().header;
  report.excludeNetwork = excludeNetwork;
  return version === undefined ? { abi: 'musl', library: 'musl' } : { abi: 'gnu', library: `glibc ${version}` };
}

/** This platform: by the name that its package would have, and in words. */
function describe() {
  const { platform, arch, version: node } = process;
  const { abi, library } = platform === 'linux' ? libc() : { abi: platform === 'win32' ? 'msvc' : undefined };
  return {
    name: [platform, arch, abi].filter(Boolean).join('-'),
    words: [`${platform} ${arch}`, library, `Node.js ${node}`].filter(Boolean).join(', '),
  };
}

/** Loads the file that the environment names. */
function loadNamed(path) {
  try {
    return require(path);
  } catch (error) {
    const [first] = error.message.split('\n');
    throw noBinary(describe().words, `NAPI_RS_NATIVE_LIBRARY_PATH does not lead to one: ${first}`, error);
  }
}

/** @returns {typeof import('../../binding.js')} */
function load() {
  const { NAPI_RS_NATIVE_LIBRARY_PATH: named } = process.env;
  if (named) return loadNamed(named);
  const { name, words } = describe();
  const binary = binaries[name];
  if (binary === undefined) throw noBinary(words, `there are binaries for ${Object.keys(binaries).join(', ')} only`);
  let missing;
  for (const attempt of [binary.built, binary.installed]) {
    try {
      return attempt();
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') {
        throw noBinary(words, `the one that is installed does not load: ${error.message}`, error);
      }
      missing = error;
    }
  }
  const reason =
    `the package sshtunnel-native-${name} ${version} is not installed. It is an optional dependency: install ` +
    'again with those, on this platform, and without a lock file or a node_modules of another one';
  throw noBinary(words, reason, missing);
}

module.exports = load();
