import type { TracerProvider } from '@opentelemetry/api';

/** Options of {@link traceTunnels}. */
export interface TraceOptions {
  /** The provider of the tracer. Default: the global one, also if it is registered later. */
  tracerProvider?: TracerProvider | undefined;
}

/**
 * Makes spans of the sessions and connections of all tunnels in this process, from the next method call of each
 * tunnel on, and returns a function that stops it. Call it before the tunnels start. docs/observing.md lists the spans.
 *
 * It requires the package `@opentelemetry/api`, which is an optional peer dependency. It throws
 * ERR_INVALID_ARG_TYPE if `options` is not an object.
 */
export function traceTunnels(options?: TraceOptions): () => void;
