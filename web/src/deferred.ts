/** The page's clock, in ms. */
export const now = (): number => performance.now();

/** A promise and its ends. */
export interface Deferred<T> {
  promise: Promise<T>;
  resolve: (v: T) => void;
  reject: (e: unknown) => void;
}

/** Promise.withResolvers, which browsers have only since 2024. */
export function deferred<T>(): Deferred<T> {
  const d = {} as Deferred<T>;
  d.promise = new Promise((resolve, reject) => Object.assign(d, { resolve, reject }));
  return d;
}

/** Resolves after a while, or when the signal says so. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}

/** How long to wait before the next attempt, and at least: a random while that grows, docs/SESSION.md section 7. */
export function backoff(): (least: number) => number {
  let wait = 500;
  return (least) => {
    const pause = wait * (0.5 + Math.random() / 2);
    wait = Math.min(2 * wait, 10_000);
    return Math.max(least, pause);
  };
}
