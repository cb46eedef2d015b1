// The messages of channels with compress: a first byte, and then the message as it is or as raw DEFLATE.

import { type Channel } from "./table";

export const leastDeflated = 512; // length of the shortest message that is deflated
export const deflated = 1; // first byte; 0 is a message as it is

/** Returns 1 for the first byte, or 0. */
export const firstByte = ({ compress }: Channel): number => (compress ? 1 : 0);

const slice = 4 << 10; // bytes that a stream gets at a time: they inflate to at most 4 MiB

/**
 * Calls done with what a stream makes of b, later. first is 1 if the byte 1 comes before it, or 0. done gets nothing if
 * there are more than size bytes, b is malformed, or the browser has no such stream.
 */
export function stream(
  size: number,
  first: number,
  b: Uint8Array,
  Stream: typeof CompressionStream | typeof DecompressionStream,
  done: (b?: Uint8Array) => void,
): void {
  const made = async (): Promise<Uint8Array> => {
    const out = new Uint8Array(size);
    let n = (out[0] = first);
    let i = 0;
    const source = new ReadableStream<BufferSource>({
      pull: (c) => (i < b.length ? c.enqueue(b.slice(i, (i += slice))) : c.close()),
    });
    const reader = source.pipeThrough(new Stream("deflate-raw")).getReader();
    // Without room set throws. Nobody reads further then, and the stream stops.
    for (let part; (part = (await reader.read()).value); n += part.length) out.set(part, n);
    return out.slice(0, n);
  };
  void made()
    .catch(() => undefined)
    .then(done);
}
