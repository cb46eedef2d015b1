// Values of messages as text, as internal/gen/values in Go writes them.

/** Returns v as JSON. What JSON does not have is an object with one property: $b bytes, $i bigint, $d Date, $m Map. */
export function dump(v: unknown): string {
  return JSON.stringify(plain(v));
}

function plain(v: unknown): unknown {
  if (v === undefined) return null;
  if (typeof v === "bigint") return { $i: `${v}` };
  if (typeof v === "number") return Number.isFinite(v) && !Object.is(v, -0) ? v : { $: Object.is(v, -0) ? "-0" : `${v}` };
  if (typeof v !== "object" || v === null) return v;
  if (v instanceof Date) return { $d: v.getTime() };
  if (v instanceof Uint8Array) return { $b: Buffer.from(v).toString("hex") };
  if (v instanceof Map) return { $m: [...v].map((e) => e.map(plain)) };
  if (Array.isArray(v)) return v.map(plain);
  return Object.fromEntries(Object.entries(v).map(([k, e]) => [k, plain(e)]));
}

/** Returns the value of which text is the dump. */
export function revive(text: string): unknown {
  return rich(JSON.parse(text));
}

// biome-ignore lint/suspicious/noExplicitAny: JSON
function rich(v: any): unknown {
  if (v === null) return undefined;
  if (typeof v !== "object") return v;
  if (Array.isArray(v)) return v.map(rich);
  if ("$" in v) return Number(v.$);
  if ("$i" in v) return BigInt(v.$i);
  if ("$d" in v) return new Date(v.$d);
  if ("$b" in v) return new Uint8Array(Buffer.from(v.$b, "hex"));
  if ("$m" in v) return new Map(v.$m.map((e: unknown[]) => e.map(rich)));
  for (const k of Object.keys(v)) v[k] = rich(v[k]);
  return v;
}
