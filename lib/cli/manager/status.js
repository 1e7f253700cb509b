'use strict';

// `sshtunnel status`: one tunnel in the background, for people, and for scripts by the exit status.

const { connect } = require('./client.js');
const { knownProfiles, tunnelsNow, withProfiles } = require('./ls.js');
const { readOptions, subcommand } = require('./options.js');
const { ManagerError } = require('./places.js');
const { statusLines } = require('./report.js');

/** Exit statuses: 0 and 3 are those of init scripts and of systemctl. */
const STATUS = { up: 0, down: 3 };
const NOT_YET = 4;

/** What the process of a tunnel knows; undefined if there is none. @returns {Promise<any>} */
async function snapshotOf(name) {
  const client = await connect();
  if (client === undefined) return undefined;
  try {
    return await client.ask('status', { name });
  } finally {
    client.close();
  }
}

/** @param {string[]} argv @returns {Promise<number>} the exit status */
async function run(argv) {
  const parsed = readOptions('status', argv, { min: 1, max: 1 });
  if (parsed === undefined) return 0;
  const {
    values,
    names: [name],
  } = parsed;
  const { known, fault } = knownProfiles(values.config);
  const tunnel = withProfiles(await tunnelsNow(), known).find((each) => each.name === name);
  if (tunnel === undefined) throw new ManagerError(fault ?? `there is no tunnel and no profile '${name}'`);
  const { snapshot } = (await snapshotOf(name)) ?? {};
  const lines = values.json ? [JSON.stringify({ ...tunnel, snapshot }, null, 2)] : statusLines(tunnel, snapshot);
  process.stdout.write(`${lines.join('\n')}\n`);
  return STATUS[tunnel.state] ?? NOT_YET;
}

module.exports = { run: subcommand(run) };
