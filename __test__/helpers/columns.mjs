// The columns of the closing tables: one Linger for each mode.

/** Where the linger time is to run out it is 1 s (`SHORT`), elsewhere it never is. */
export const COLUMNS = {
  graceful: { l_onoff: 0, l_linger: 0 },
  hard: { l_onoff: 1, l_linger: 0 },
  bounded: { l_onoff: 1, l_linger: 60 },
};
export const SHORT = { l_onoff: 1, l_linger: 1 };

/** What is to be seen whatever the Linger. */
export const same = (outcome) => ({ graceful: outcome, hard: outcome, bounded: outcome });
