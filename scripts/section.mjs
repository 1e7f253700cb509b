// Sections of documents that scripts write: everything between two comments.

/**
 * A document with another text in its section.
 * @param {string} file for messages
 * @param {string} text the document
 * @param {{ begin: string, end: string }} marks the comments
 * @param {string} body
 */
export function withSection(file, text, { begin, end }, body) {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${file} lacks the lines '${begin}' and '${end}'`);
  return `${text.slice(0, from)}${begin}\n\n${body}\n\n${text.slice(to)}`;
}
