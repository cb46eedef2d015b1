/** Returns the time of the clock of the page, in ms. */
export const now = (): number => performance.now();

/** A promise with the functions that settle it. */
export interface Deferred<T> {
  promise: Promise<T>;
  resolve: (v: T) => void;
  reject: (e: unknown) => void;
}

/** Returns a new promise: Promise.withResolvers, which browsers have only since 2024. */
export function deferred<T>(): Deferred<T> {
  const d = {} as Deferred<T>;
  d.promise = new Promise((resolve, reject) => Object.assign(d, { resolve, reject }));
  return d;
}

/** Resolves after ms milliseconds, at most a minute, or when the signal aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.min(ms, 60_000)); // a timer of more than 2³¹ ms would fire at once
    signal?.addEventListener("abort", done);
  });
}

/** The longest pause between attempts, in ms, and the longest to which Retry-After extends it. */
export const longestBackoff = 10_000;
export const firstBackoff = 500;
/** The longest pause after the answer of a server that does not know the session: it costs the server little. */
export const unknownBackoff = 1000;

/**
 * Returns a function that returns the pause before the next attempt: a random time that grows, up to most ms, or, if that
 * is longer, between least ms and half as much again, docs/SESSION.md section 7.
 */
export function backoff(): (least: number, most?: number) => number {
  let wait = firstBackoff / 2;
  return (least, most = longestBackoff) => {
    const share = 1 + Math.random() / 2;
    wait *= 2;
    return Math.max((least || 0) * share, Math.min(wait, most) * (share - 0.5));
  };
}
