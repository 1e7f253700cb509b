'use strict';

// Expands values: %h and other tokens, ${VARIABLES}, a leading tilde.

const path = require('node:path');

const { homeOfUser } = require('../system-database.js');
const { shellFault } = require('../validate/names.js');

/** Values by the letters after percent signs. @typedef {Record<string, string>} Tokens */

/**
 * Replaces tokens and, with `variables`, `${NAME}`. The values are not expanded again.
 * @param {string} text
 * @param {Tokens} tokens
 * @param {{ error(reason: string): Error }} line whose value it is
 * @param {{ check?: (value: string, token: string) => string, variables?: Record<string, string | undefined> }} [options]
 *   check: called with the value of each token, returns what to insert
 */
function expand(text, tokens, line, { check = (value) => value, variables } = {}) {
  const token = (whole, letter) => {
    if (letter === '%') return '%';
    if (!Object.hasOwn(tokens, letter)) throw line.error(`'${whole}' is not a token, in '${text}'`);
    const value = tokens[letter];
    if (value === undefined) throw line.error(`the value of '${whole}' is not known, in '${text}'`);
    return check(value, whole);
  };
  if (variables === undefined) return text.replace(/%(.?)/gs, token);
  return text.replace(/%(.?)|\$\{([^}]*)(\}?)/gs, (whole, letter, name, end) =>
    letter === undefined ? valueOfVariable(name, end, variables, text, line) : token(whole, letter),
  );
}

/** Expands a command: refuses values that a shell would interpret. */
function expandCommand(text, tokens, line) {
  if (text.includes('\0')) throw line.error('the command contains a null byte');
  return expand(text, tokens, line, { check: (value, token) => forShell(value, token, line) });
}

/** The value of a token, unless a shell would interpret it. */
function forShell(value, token, line) {
  // Paths of home folders may have blanks.
  const reason = shellFault(value, { path: token === '%d' });
  if (reason !== undefined) throw line.error(`the value of '${token}' ${reason}: '${value}'`);
  return value;
}

/** Replaces `${NAME}`; a variable that is not set is an error, as for ssh. */
function expandVariables(text, variables, line) {
  return text.replace(/\$\{([^}]*)(\}?)/g, (_, name, end) => valueOfVariable(name, end, variables, text, line));
}

function valueOfVariable(name, end, variables, text, line) {
  if (end === '' || name === '') throw line.error(`'${text}' has no name of an environment variable`);
  if (variables[name] === undefined) throw line.error(`the environment variable ${name} is not set`);
  return variables[name];
}

/** A tilde, perhaps the name of a user, and the rest of the path. */
const HOME = process.platform === 'win32' ? /^~([^\\/]*)(.*)$/s : /^~([^/]*)(.*)$/s;

/** Replaces `~` by the user's home folder, and `~name` by that of another user. */
function expandHome(text, home, line) {
  const [, user, rest] = HOME.exec(text) ?? [];
  if (user === undefined) return text;
  const folder = user === '' ? home : homeOfUser(user);
  if (folder === undefined) {
    const whose = user === '' ? "the user's home folder is not known" : `there is no user '${user}'`;
    throw line.error(`${whose}, for '${text}'`);
  }
  // As ssh, which puts a slash behind the folder.
  return rest === '' ? `${folder}/` : path.join(folder, rest);
}

/** Expands the path of a file. */
function expandPath(text, { home, variables, tokens }, line) {
  return expand(expandHome(text, home, line), tokens, line, { variables });
}

module.exports = { expand, expandCommand, expandHome, expandPath, expandVariables, forShell };
