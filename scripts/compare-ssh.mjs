// `npm run compare`: usual command lines with ssh, and with sshtunnel in its place; prints a table.

import { ensureSshd } from '../__test__/helpers/ensure-sshd.mjs';
import { setup } from './setup.mjs';

setup();
if (!ensureSshd()) process.exit(1);
const { compare, differences } = await import('../__test__/helpers/compare.mjs');

const told = ({ reached, status }) => `${reached}, ${status}`;
const line = (name, ssh, sshtunnel, verdict) =>
  console.log(`${name.padEnd(40)} ${ssh.padEnd(28)} ${sshtunnel.padEnd(28)} ${verdict}`);

line('command line', 'ssh', 'sshtunnel', '');
let different = 0;
await compare((row) => {
  if (row.missing !== undefined) return line(row.name, '-', '-', `left out: a tunnel has no ${row.missing}()`);
  const members = differences(row);
  different += members.length > 0 ? 1 : 0;
  const words = members.includes('words') ? ` (${row.ssh.words} | ${row.sshtunnel.words})` : '';
  return line(
    row.name,
    told(row.ssh),
    told(row.sshtunnel),
    members.length > 0 ? `DIFFERENT: ${members.join(', ')}${words}` : 'same',
  );
});
process.exit(different > 0 ? 1 : 0);
