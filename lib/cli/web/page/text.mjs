// Numbers and addresses as text, the same as lib/cli/output/text.js has for a terminal. A test compares both.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** An amount of bytes. @param {number} bytes */
export function amount(bytes) {
  let unit = 0;
  let value = bytes;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** A time in milliseconds as hours, minutes and seconds. @param {number} milliseconds */
export function duration(milliseconds) {
  const seconds = Math.floor(milliseconds / 1000);
  const two = (number) => String(number).padStart(2, '0');
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

/** A host and a port: `[::1]:22`. @param {string} host @param {number} port */
export function place(host, port) {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** In place of the address of a connection that has none: it came by a Unix socket. */
export const LOCAL_CLIENT = 'a local client';

const TWO = '2-digit';
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: TWO, minute: TWO, second: TWO, hourCycle: 'h23' });

/** The time of day. @param {number} time milliseconds since 1970 */
export const clock = (time) => CLOCK.format(time);
