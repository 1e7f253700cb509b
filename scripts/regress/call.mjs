// A command line of ssh, as far as the shim has to understand it: where the remote command begins, which flags say that
// there is none, and what concerns a shared connection.

/** Flags with a value, of the command and of ssh. */
const VALUED = 'BbcDEeFIiJLlmOoPpQRSWw';
/** Flags of calls without a remote command. */
const BARE = ['G', 'Q', 'V', 'N', 'W', 'O', 's'];

/** A `-o` as the name of its directive in lower case and its value. */
function directive(text) {
  const [, name, value] = /^\s*([^\s=]*)[\s=]*(.*?)\s*$/.exec(text);
  return [name.toLowerCase(), value.replace(/^"(.*)"$/, '$1')];
}

const isOn = (value) => value !== undefined && value.toLowerCase() !== 'no';

/** A word of flags without -M: the shim has the control socket, see control.mjs. Nothing if no other flag is in it. */
function withoutMaster(word) {
  const first = [...word].findIndex((flag) => VALUED.includes(flag));
  const flags = first < 0 ? word : word.slice(0, first);
  const left = flags.replaceAll('M', '') + word.slice(flags.length);
  return left === '-' ? [] : [left];
}

/**
 * @typedef {object} Call
 * @property {string[]} args the command line without the remote command and without -M
 * @property {string | undefined} command the remote command
 * @property {string | undefined} controlPath
 * @property {boolean} persists whether a shared connection outlives the remote command
 * @property {(flag: string) => boolean} has whether a flag is given
 * @property {(flag: string) => string | undefined} value that of the first use of a flag
 * @property {(name: string) => string | undefined} option the value of the first `-o` of that directive
 */

/** @param {string[]} argv @returns {Call} */
export function parseCall(argv) {
  const flags = [];
  const args = [];
  let host = false;
  let at = 0;
  for (; at < argv.length; at++) {
    const word = argv[at];
    const isFlags = word.length > 1 && word.startsWith('-') && word !== '--';
    if (!isFlags && host) break;
    args.push(...(isFlags ? withoutMaster(word) : [word]));
    if (!isFlags) {
      if (word === '--') args.push(argv[++at]);
      host = true;
      continue;
    }
    for (let i = 1; i < word.length; i++) {
      const flag = word[i];
      if (!VALUED.includes(flag)) {
        flags.push([flag, undefined]);
        continue;
      }
      const joined = word.slice(i + 1);
      if (joined === '') args.push(argv[++at]);
      flags.push([flag, joined || argv[at]]);
      break;
    }
  }
  const has = (flag) => flags.some(([name]) => name === flag);
  const value = (flag) => flags.find(([name]) => name === flag)?.[1];
  const options = flags.filter(([flag]) => flag === 'o').map(([, text]) => directive(text ?? ''));
  const option = (name) => options.find(([found]) => found === name)?.[1];
  const isBare = BARE.some(has) || at >= argv.length;
  return {
    args: isBare ? [...args, ...argv.slice(at)] : args,
    command: isBare ? undefined : argv.slice(at).join(' '),
    controlPath: value('S') ?? option('controlpath'),
    persists: has('N') || isOn(option('controlpersist')),
    has,
    value,
    option,
  };
}
