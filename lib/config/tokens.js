'use strict';

// What stands for something else in a value: %h and its like, ${VARIABLES}, a leading tilde.

const path = require('node:path');

/** What `expand` puts in for each letter after a percent sign. @typedef {Record<string, string>} Tokens */

/**
 * @param {string} text
 * @param {Tokens} tokens
 * @param {{ error(reason: string): Error }} line whose value it is
 */
function expand(text, tokens, line) {
  return text.replace(/%(.?)/gs, (token, letter) => {
    if (letter === '%') return '%';
    if (!Object.hasOwn(tokens, letter)) throw line.error(`'${token}' stands for nothing in '${text}'`);
    return tokens[letter];
  });
}

/** `${NAME}` becomes the variable's value; one that is not set is an error, as it is for ssh. */
function expandVariables(text, variables, line) {
  return text.replace(/\$\{([^}]*)(\}?)/g, (_, name, end) => {
    if (end === '' || name === '') throw line.error(`'${text}' names no environment variable`);
    if (variables[name] === undefined) throw line.error(`the environment variable ${name} is not set`);
    return variables[name];
  });
}

/** `~/` is the user's home. Those of others are not looked up: Node cannot. */
function expandHome(text, home, line) {
  if (text === '~' || text.startsWith('~/')) return path.join(home, text.slice(1));
  if (text.startsWith('~')) throw line.error(`the home of another user cannot be found: '${text}'`);
  return text;
}

/** The path of a file. */
function expandPath(text, { home, variables, tokens }, line) {
  return expand(expandVariables(expandHome(text, home, line), variables, line), tokens, line);
}

module.exports = { expand, expandHome, expandPath, expandVariables };
