// The end in TypeScript of the differential test of typed messages, internal/gen/differ: a process that does with a
// generated module what it reads from its input.
import { type Codec, Reader, Writer } from "../src/pack";
import { dump, revive } from "./plain";

const { default: codecs } = (await import(process.argv[2]!)) as { default: Codec<unknown>[] };
const writer = new Writer();
const reader = new Reader();
const causes = ["truncated", "trailing", "range", "length", "utf8", "form"];

/** Returns what f returns, or the cause of its failure. */
function attempt(f: () => Buffer[]): Buffer {
  try {
    return Buffer.concat([Buffer.of(0), ...f()]);
  } catch (e) {
    const { message, stack } = e as Error;
    return Buffer.from(`!${causes.includes(message) ? message : stack}`);
  }
}

function sized(b: Uint8Array): Buffer[] {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(b.length);
  return [head, Buffer.from(b)];
}

/** Answers one case: a kind, the index of a codec, and a value or bytes. */
function answer(b: Buffer): Buffer {
  const codec = codecs[b.readUInt16LE(1)]!;
  const data = b.subarray(3);
  if (b[0] === 0) return attempt(() => [Buffer.from(writer.encode(codec, revive(data.toString())))]);
  return attempt(() => {
    const v = reader.decode(codec, data);
    return [...sized(Buffer.from(dump(v))), Buffer.from(writer.encode(codec, v))];
  });
}

let input = Buffer.alloc(0);
process.stdin.on("data", (chunk: Buffer) => {
  input = Buffer.concat([input, chunk]);
  for (let size: number; input.length >= 4 && input.length >= (size = 4 + input.readUInt32LE(0)); input = input.subarray(size)) {
    const out: Buffer[] = [];
    for (let at = 4; at < size; ) {
      const end = at + 4 + input.readUInt32LE(at);
      out.push(...sized(answer(input.subarray(at + 4, end))));
      at = end;
    }
    process.stdout.write(Buffer.concat(sized(Buffer.concat(out))));
  }
});
