// The columns of the closing tables: one Linger for each mode.

/** The linger time is 1 s (`SHORT`) where it is to expire, and long elsewhere. */
export const COLUMNS = {
  graceful: { l_onoff: 0, l_linger: 0 },
  hard: { l_onoff: 1, l_linger: 0 },
  bounded: { l_onoff: 1, l_linger: 60 },
};
export const SHORT = { l_onoff: 1, l_linger: 1 };

/** The same outcome for every Linger. */
export const same = (outcome) => ({ graceful: outcome, hard: outcome, bounded: outcome });
