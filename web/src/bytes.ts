// Bytes and text of programs.

import { SendError } from "./error";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
export const nothing: Uint8Array = new Uint8Array(0);

/** b as text. Throws if it is not UTF-8. */
export const text = (b: Uint8Array): string => utf8.decode(b);

/** What messages are made of. */
export type Bytes = ArrayBufferView | ArrayBuffer;

/** The bytes that a program gives. Throws a SendError if they are none. */
export function view(b: Bytes): Uint8Array {
  if (b instanceof Uint8Array) return b;
  if (b instanceof ArrayBuffer) return new Uint8Array(b);
  if (ArrayBuffer.isView(b)) return new Uint8Array(b.buffer, b.byteOffset, b.byteLength);
  throw new SendError("type", `${typeof b} is not bytes: new TextEncoder().encode(text)`);
}

/** s in UTF-8. */
export const bytesOf = (s: string): Uint8Array => new TextEncoder().encode(s);
