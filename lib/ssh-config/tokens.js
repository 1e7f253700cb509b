'use strict';

// What stands for something else in a value: %h and its like, ${VARIABLES}, a leading tilde.

const path = require('node:path');

const { shellFault } = require('../validate/names.js');

/** What `expand` puts in for each letter after a percent sign. @typedef {Record<string, string>} Tokens */

/**
 * Puts in tokens and, where there are `variables`, also `${NAME}`. What is put in is not looked at again.
 * @param {string} text
 * @param {Tokens} tokens
 * @param {{ error(reason: string): Error }} line whose value it is
 * @param {{ check?: (value: string, token: string) => string, variables?: Record<string, string | undefined> }} [options]
 *   check: looks at the value of each token before it is put in
 */
function expand(text, tokens, line, { check = (value) => value, variables } = {}) {
  const token = (whole, letter) => {
    if (letter === '%') return '%';
    if (!Object.hasOwn(tokens, letter)) throw line.error(`'${whole}' stands for nothing in '${text}'`);
    return check(tokens[letter], whole);
  };
  if (variables === undefined) return text.replace(/%(.?)/gs, token);
  return text.replace(/%(.?)|\$\{([^}]*)(\}?)/gs, (whole, letter, name, end) =>
    letter === undefined ? valueOfVariable(name, end, variables, text, line) : token(whole, letter),
  );
}

/** The same for a command: its author has quoted it for names, and what a shell would interpret is none. */
function expandCommand(text, tokens, line) {
  if (text.includes('\0')) throw line.error('a command has a null byte');
  return expand(text, tokens, line, { check: (value, token) => forShell(value, token, line) });
}

/** @returns {string} the value, if no shell makes anything else of it */
function forShell(value, token, line) {
  // The home is a folder, and some have blanks.
  const reason = shellFault(value, { path: token === '%d' });
  if (reason !== undefined) throw line.error(`'${token}' stands for a name that ${reason}: '${value}'`);
  return value;
}

/** `${NAME}` becomes the variable's value; one that is not set is an error, as it is for ssh. */
function expandVariables(text, variables, line) {
  return text.replace(/\$\{([^}]*)(\}?)/g, (_, name, end) => valueOfVariable(name, end, variables, text, line));
}

function valueOfVariable(name, end, variables, text, line) {
  if (end === '' || name === '') throw line.error(`'${text}' names no environment variable`);
  if (variables[name] === undefined) throw line.error(`the environment variable ${name} is not set`);
  return variables[name];
}

/** `~/` is the user's home. Those of others are not looked up: Node cannot. */
function expandHome(text, home, line) {
  if (text === '~' || text.startsWith('~/')) return path.join(home, text.slice(1));
  if (text.startsWith('~')) throw line.error(`the home of another user cannot be found: '${text}'`);
  return text;
}

/** The path of a file. */
function expandPath(text, { home, variables, tokens }, line) {
  return expand(expandHome(text, home, line), tokens, line, { variables });
}

module.exports = { expand, expandCommand, expandHome, expandPath, expandVariables, forShell };
