// Links without a request: from an invite, or from what WELCOME carries for the next link. docs/SESSION.md, section 11.

import { bytesOf, text } from "./bytes";
import { ConnectError } from "./error";
import { must } from "./varint";

/**
 * Invite is what a page needs to connect to a server without a request: in place of a URL. Its text, base64url of its
 * JSON, can be part of a link. It is good once, and as secret as a password.
 */
export interface Invite {
  /** The version of the form: 1. */
  v: number;
  /** The UDP addresses of the server, such as "203.0.113.7:7777" and "[2001:db8::1]:7777", the best one first. */
  addresses: readonly string[];
  /** The fingerprint of the server's certificate: "sha-256 AB:CD:…". */
  fingerprint: string;
  ufrag: string;
  pwd: string;
  /** The hash of the server's table of channels. */
  channels?: string;
}

/**
 * Seat is a place at one server: an invite, the URL of its signaling with a token, or both. It is as secret as they are.
 */
export interface Seat {
  invite?: Invite;
  url?: string;
  token?: string;
  /** Names the server to who has made the seat. */
  node?: string;
}

/** To what a page connects: the URL of the signaling of a server, or an invite or its text. */
export type Target = string | URL | Invite;

/** What the page knows of a server to which it opens links without requests: its fingerprint, then its addresses. */
export type Home = readonly string[];

/** The answer to an offer. admit stands before packets until the server has let the page in; undefined if it need not. */
export type Written = RTCSessionDescriptionInit & { admit?: Uint8Array<ArrayBuffer> };

// What an invite has. Nothing in it can become another line of the answer.
const form = /^1 sha-256 [\dA-F]{2}(:[\dA-F]{2}){31} [a-z\d+/]{4,256} [a-z\d+/]{22,256}( (\[[\da-f:.]+\]|[\d.]+):\d+){1,8}$/i;
const typeAdmit = 1;
export const typeRefused = 2;

/** Whether this page can open links without a request: crypto.subtle is only in pages of https, localhost and files. */
export const direct = (): boolean => !!(globalThis.crypto?.subtle && globalThis.RTCPeerConnection);

/** Returns the invite that target is, or undefined if it is a URL. Throws a ConnectError "invite". */
export function inviteOf(target: Target): Invite | undefined {
  let invite = target as Invite;
  if (typeof target === "string" ? !/^e[\w-]{99,}=*$/.test(target) : (target as URL).href) return;
  let why = "the page must come over https, from localhost or from a file, and the browser must have WebRTC";
  try {
    must(direct());
    why = "it is malformed";
    if (typeof target === "string") {
      const b = atob(target.replace(/[-_]/g, (s) => "+/"["-_".indexOf(s)]!).replace(/=/g, ""));
      invite = JSON.parse(text(Uint8Array.from(b, (c) => c.charCodeAt(0))));
    }
    const { v, addresses, fingerprint, ufrag, pwd } = invite;
    if (v > 1) why = `its version is ${v}: reload the page`;
    must(form.test([v, fingerprint, ufrag, pwd, ...addresses].join(" ")));
    return invite;
  } catch (cause) {
    throw new ConnectError("invite", `the invite cannot be used: ${why}`, { cause });
  }
}

export const homeOf = ({ fingerprint, addresses }: Invite): Home => [
  fingerprint,
  ...addresses.map((a) => a.replace(/^\[?(.*?)\]?:(\d+)$/, "$1 $2")),
];

/** Returns the fingerprint of SHA-256 in an SDP, or "". */
const fingerprintIn = (sdp: string): string => /^a=fingerprint:(sha-256 .*)$/im.exec(sdp)?.[1] ?? "";

/** Returns what an answer tells of its server. */
export const answeredBy = (sdp: string): Home => [
  fingerprintIn(sdp),
  ...Array.from(sdp.matchAll(/ udp \d+ (\S+ \d+) /gi), ([, a]) => a!),
];

/** Writes the answer of a server to an offer of this page, whose query says what else the server wants to know. */
export async function answerTo(
  offer: string,
  [fingerprint = "", ...addresses]: Home,
  ufrag: string,
  pwd: string,
  query: string,
): Promise<Written> {
  const { subtle } = crypto;
  const key = await subtle.importKey("raw", bytesOf(pwd) as BufferSource, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const mac = async (about: string, ...more: number[]): Promise<Uint8Array> =>
    new Uint8Array(await subtle.sign("HMAC", key, Uint8Array.of(...bytesOf(about), ...more)));
  const bytes = (print: string): number[] =>
    print
      .slice(8)
      .split(":")
      .map((b) => parseInt(b, 16)); // behind "sha-256 "
  const proof = await mac("hello", ...bytes(fingerprintIn(offer)), ...bytes(fingerprint));
  const mid = /^a=mid:(.*)$/m.exec(offer)?.[1];
  const init = /^a=sctp-init:(.*)$/m.exec(offer)?.[1];
  if (init) {
    // The server gets no offer: the fragment tells it the tag and the first TSN of the page, docs/snap.md.
    const b = atob(init);
    ufrag = ufrag[0]!.toLowerCase() + ufrag.slice(1) + btoa(b.slice(4, 8) + b.slice(16, 20)).slice(0, 11);
  }
  const lines = [
    "v=0",
    "o=- 0 1 IN IP4 0.0.0.0",
    "s=-",
    "t=0 0",
    `a=group:BUNDLE ${mid}`,
    "a=ice-lite",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP4 0.0.0.0",
    ...addresses.map((a, i) => `a=candidate:${i + 1} 1 udp ${2130706431 - 256 * i} ${a} typ host`),
    "a=end-of-candidates",
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${pwd}`,
    `a=fingerprint:${fingerprint}`,
    "a=setup:active",
    `a=mid:${mid}`,
    "a=sctp-port:5000",
  ];
  if (init) lines.push(`a=sctp-init:${btoa(String.fromCharCode(...initOf(await mac("sctp"))))}`);
  return {
    type: "answer",
    sdp: `${lines.join("\r\n")}\r\n`,
    admit: Uint8Array.of(typeAdmit, ...proof, ...bytesOf(query)),
  };
}

/** Returns the server's INIT, whose tag and first TSN are the first bytes of random. */
function initOf([a, b, c, d, ...tsn]: Uint8Array): Uint8Array {
  const tag = [a!, b!, c!, d!];
  if (!tag.some(Boolean)) tag[3] = 1;
  // A window of 512 KiB, 65,535 streams, and the extensions FORWARD-TSN and RE-CONFIG.
  return Uint8Array.of(
    1,
    0,
    0,
    30,
    ...tag,
    0,
    8,
    0,
    0,
    255,
    255,
    255,
    255,
    ...tsn.slice(0, 4),
    192,
    0,
    0,
    4,
    128,
    8,
    0,
    6,
    192,
    130,
    0,
    0,
  );
}
