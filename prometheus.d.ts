import type { SSHTunnel } from './index.js';
import type { SSHTunnel as PromisesTunnel } from './promises.js';

/** A tunnel for {@link metrics}. */
export interface MetricsSource {
  /** The tunnel, of either class. */
  tunnel: SSHTunnel | PromisesTunnel;
  /**
   * Labels of all samples of the tunnel, which tell it from others: names as Prometheus allows them, and texts.
   * Default: none. The labels of the metrics themselves, such as `state`, cannot be given.
   */
  labels?: Record<string, string> | undefined;
}

/**
 * Resolves with the statistics of tunnels and of their forwards in Prometheus's text format, version 0.0.4, for a
 * response with {@link contentType}. docs/observing.md lists the metrics. Each call asks every tunnel for its
 * {@link SSHTunnel.stats}.
 *
 * It rejects with ERR_INVALID_ARG_TYPE or ERR_INVALID_ARG_VALUE for wrong arguments, and with the error of
 * {@link SSHTunnel.stats}. Tunnels with the same labels are added up.
 */
export function metrics(tunnels: readonly MetricsSource[]): Promise<string>;

/** The media type of the format: `'text/plain; version=0.0.4; charset=utf-8'`. */
export const contentType: string;
