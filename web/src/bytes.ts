// Bytes and text of programs.

import { SendError } from "./error";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
export const nothing: Uint8Array = new Uint8Array(0);

/** Returns b as text. Throws if b is not UTF-8. */
export const text = (b: Uint8Array): string => utf8.decode(b);

/** The bytes of a message that a program sends. */
export type Bytes = ArrayBufferView | ArrayBuffer;

/** Returns a view of the bytes of a program. Throws a SendError if b is something else. */
export function view(b: Bytes): Uint8Array {
  if (b instanceof Uint8Array) return b;
  if (b instanceof ArrayBuffer) return new Uint8Array(b);
  if (ArrayBuffer.isView(b)) return new Uint8Array(b.buffer, b.byteOffset, b.byteLength);
  throw new SendError("type", `${typeof b} is not bytes: new TextEncoder().encode(text)`);
}

/** Returns s in UTF-8. */
export const bytesOf = (s: string): Uint8Array => new TextEncoder().encode(s);
