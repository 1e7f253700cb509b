'use strict';

// Values that are completed. Each function gets what is written so far, and gives whole words; a file is completed by the
// shell, where there are none.

const { CONTROLS } = require('../arguments.js');

/**
 * The words before the cursor: the ones that are no flags, and the file of -F.
 * @typedef {{ names: string[], configFile?: string }} Given
 */

const SHELLS = ['bash', 'zsh', 'fish'];

const plain = (words) => words.map((value) => ({ value }));

const files = () => [];
const shells = (_, { names }) => (names.length > 0 ? [] : plain(SHELLS));
const logFormats = () => plain(['text', 'json']);
const requests = () => plain(CONTROLS);
const queries = () => plain(queryNames());
const variables = () => plain(Object.keys(process.env));

/** Names of -Q, which are also those of directives with lists. */
function queryNames() {
  return require('../print.js').query('help');
}

/** The last word of a list, behind its commas and the change that it may begin with. */
function listed(name) {
  return (written) => {
    const [, head] = /^([-+^]?(?:.*,)?)/.exec(written);
    const taken = head.replace(/^[-+^]/, '').split(',');
    const names = require('../print.js').query(name);
    return plain(names.filter((each) => !taken.includes(each)).map((each) => head + each));
  };
}
const ciphers = listed('cipher');
const macs = listed('mac');

/** What `-o` may set: a keyword with an equals sign, and then its values. */
function directives(written, given) {
  const { COMMAND, DIRECTIVES } = require('../../ssh-config/directives.js');
  const all = { ...DIRECTIVES, ...COMMAND };
  const [, keyword, value] = /^([^=]*)=(.*)$/s.exec(written) ?? [];
  // Keywords ignore case; what is written stays.
  const name = Object.keys(all).find((each) => each.toLowerCase() === (keyword ?? '').toLowerCase());
  if (name !== undefined)
    return valuesOf(name, all[name], value, given).map((each) => ({ value: `${keyword}=${each}` }));
  const names = Object.keys(all).filter((each) => all[each].read !== undefined);
  const fitting = names.filter((each) => each.toLowerCase().startsWith(written.toLowerCase()));
  return plain(fitting.map((each) => `${written}${each.slice(written.length)}=`));
}

/** The values of a directive, as far as they are words. */
function valuesOf(name, { read }, value, given) {
  if (name === 'Linger') return ['yes', 'no'];
  if (name === 'ProxyJump') return hosts(value, given).map((host) => host.value);
  if (read?.words !== undefined) return read.words.filter((word) => !['true', 'false'].includes(word));
  const query = name.toLowerCase();
  return queryNames().includes(query) ? listed(query)(value).map((each) => each.value) : [];
}

/** Hosts of ssh_config and known_hosts, behind the user and the hosts that are written already. */
function hosts(written, /** @type {Given} */ { configFile }) {
  const [, head] = /^((?:.*[,@])?)/s.exec(written);
  const { hostNames } = require('../../ssh-config/hosts.js');
  return plain(hostNames(configFile).map((name) => head + name));
}

/** Hosts that have forwards, and are not there yet. */
function profiles(_, /** @type {Given} */ { configFile, names }) {
  const { profileNames } = require('../manager/profiles.js');
  return plain(profileNames(configFile).filter((name) => !names.includes(name)));
}

/** What `service` does, and to which host. */
function services(written, { names: [what, ...names], ...given }) {
  if (what === undefined) return plain(['install', 'uninstall']);
  return names.length > 0 ? [] : profiles(written, { ...given, names });
}

module.exports = {
  SHELLS,
  ciphers,
  directives,
  files,
  hosts,
  logFormats,
  macs,
  profiles,
  queries,
  requests,
  services,
  shells,
  variables,
};
