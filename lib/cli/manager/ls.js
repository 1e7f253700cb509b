'use strict';

// `sshtunnel ls`: the tunnels in the background, and the profiles that are down.

const { writeError } = require('../output/standard-error.js');
const { plain } = require('../output/text.js');
const { FAILED } = require('../status.js');
const { connect } = require('./client.js');
const { readOptions, subcommand } = require('./options.js');
const { profiles } = require('./profiles.js');
const { table } = require('./report.js');
const { ABANDONED, readWanted } = require('./wanted.js');

/** A tunnel that is down. */
const down = (members) => ({ state: 'down', wanted: false, ...members });

/** The tunnels that the supervisor has, or that it had before it ended. @returns {Promise<any[]>} */
async function tunnelsNow() {
  const client = await connect();
  if (client === undefined) return readWanted().map((each) => down({ ...each, wanted: true, reason: ABANDONED }));
  try {
    const { tunnels } = await client.ask('list');
    return tunnels;
  } finally {
    client.close();
  }
}

/**
 * Tunnels with the profiles that are down. The forwards of a profile are those of a tunnel that has not been up yet.
 * @param {any[]} tunnels
 * @param {import('./profiles.js').Profile[]} known
 */
function withProfiles(tunnels, known) {
  const byName = new Map(known.map((profile) => [profile.name, profile]));
  const names = tunnels.map(({ name }) => name);
  return [
    ...tunnels.map((tunnel) =>
      tunnel.forwards?.length > 0 ? tunnel : { ...tunnel, forwards: byName.get(tunnel.name)?.forwards ?? [] },
    ),
    ...known.filter(({ name }) => !names.includes(name)).map((profile) => down(profile)),
  ];
}

/** The profiles, or why they are not known. @returns {{ known: import('./profiles.js').Profile[], fault?: string }} */
function knownProfiles(configFile) {
  try {
    return { known: profiles(configFile) };
  } catch (error) {
    if (error.code !== 'ERR_SSH_CONFIG') throw error;
    return { known: [], fault: error.message };
  }
}

/** @param {string[]} argv @returns {Promise<number>} the exit status */
async function run(argv) {
  const parsed = readOptions('ls', argv, { max: 0 });
  if (parsed === undefined) return 0;
  const { values } = parsed;
  const tunnels = await tunnelsNow();
  const { known, fault } = knownProfiles(values.config);
  const all = withProfiles(tunnels, known);
  const lines = values.json ? [JSON.stringify(all, null, 2)] : table(all, { width: process.stdout.columns });
  process.stdout.write(`${lines.join('\n')}\n`);
  if (fault !== undefined) writeError(`sshtunnel: ${plain(fault)}\n`);
  return fault === undefined ? 0 : FAILED;
}

module.exports = { down, knownProfiles, run: subcommand(run), tunnelsNow, withProfiles };
