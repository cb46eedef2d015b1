// What worker.ts does in a page without a browser, for a worker. interop/ has both halves in browsers.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { serve } from "../src/worker";

/** A peer connection without a browser. */
class Peer {
  static all: Peer[] = [];
  static fails = "";
  connectionState = "new";
  iceConnectionState = "new";
  localDescription: unknown = null;
  onconnectionstatechange!: () => void;
  oniceconnectionstatechange!: () => void;
  readonly made: unknown[] = []; // channels
  readonly answers: unknown[] = [];
  closed = false;

  constructor() {
    Peer.all.push(this);
  }

  createDataChannel(label: string, init: unknown): unknown {
    this.made.push({ label, init });
    return this.made[0];
  }

  async setLocalDescription(): Promise<void> {
    if (Peer.fails) throw new DOMException(Peer.fails, "OperationError");
    this.localDescription = { type: "offer", sdp: "v=0 offer", more: () => {} }; // a browser's own object, which cannot be sent
  }

  async setRemoteDescription(d: unknown): Promise<void> {
    if (Peer.fails) throw new DOMException(Peer.fails, "OperationError");
    this.answers.push(d);
  }

  change(connection: string, ice: string): void {
    Object.assign(this, { connectionState: connection, iceConnectionState: ice });
    this.onconnectionstatechange();
  }

  close(): void {
    this.closed = true;
  }
}

let page: EventTarget; // the events of the page
let worker: EventTarget;
let told: [message: unknown, transfer: unknown[]][]; // what the worker gets
let port: { postMessage: unknown; onmessage: (e: { data: unknown }) => void; close: () => void };
let transfers: boolean; // data channels
let end: () => void;

/** Begins serve for a worker that has called usePage. */
function begin(): void {
  end = serve(worker as Worker);
  worker.dispatchEvent(Object.assign(new Event("message"), { data: "godwit peer connections", ports: [port] }));
}

const order = async (data: unknown): Promise<void> => {
  port.onmessage({ data });
  for (let i = 0; i < 10; i++) await null;
};
const init = { ordered: false, maxRetransmits: 0 };

beforeEach(() => {
  page = new EventTarget();
  worker = new EventTarget();
  told = [];
  transfers = true;
  port = {
    postMessage: (message: unknown, transfer: unknown[]) => told.push([message, transfer]),
    onmessage: () => {},
    close: vi.fn(),
  };
  Object.assign(Peer, { all: [], fails: "" });
  vi.stubGlobal("RTCPeerConnection", Peer);
  vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
  vi.stubGlobal("removeEventListener", page.removeEventListener.bind(page));
  vi.stubGlobal(
    "MessageChannel",
    class {
      port1 = {
        postMessage: (): void => {
          if (!transfers) throw new DOMException("no", "DataCloneError");
        },
      };
    },
  );
});

afterEach(() => vi.unstubAllGlobals());

test.each([true, false])("the worker hears first whether the page can transfer channels: %s", (able) => {
  transfers = able;
  begin();
  expect(told).toEqual([[{ able }, []]]);
  expect(
    Peer.all.map(({ closed }) => closed),
    "that of the trial",
  ).toEqual([true]);
});

test("other messages of the worker are for the page", () => {
  const heard = vi.fn();
  end = serve(worker as Worker);
  worker.addEventListener("message", heard);
  worker.dispatchEvent(Object.assign(new Event("message"), { data: "hello", ports: [port] }));
  expect([heard.mock.calls.length, told]).toEqual([1, []]);
  worker.dispatchEvent(Object.assign(new Event("message"), { data: "godwit peer connections", ports: [port] }));
  expect([heard.mock.calls.length, told.length]).toEqual([1, 1]);
});

test("a connection of the worker: its channel at once, its offer, its answer, its states, and its end", async () => {
  begin();
  await order({ id: 7, open: ["godwit", init] });
  const [, pc] = Peer.all;
  const [channel] = pc!.made;
  expect(channel).toEqual({ label: "godwit", init });
  expect(told.splice(0)).toEqual([
    [{ able: true }, []],
    [{ id: 7, channel }, [channel]],
    [{ id: 7, offer: { type: "offer", sdp: "v=0 offer" } }, []],
  ]);
  const answer = { type: "answer", sdp: "v=0 answer" };
  await order({ id: 7, answer });
  expect([told.splice(0), pc!.answers]).toEqual([[[{ id: 7, answered: true }, []]], [answer]]);
  pc!.change("connecting", "connected");
  expect(told.splice(0)).toEqual([[{ id: 7, states: ["connecting", "connected"] }, []]]);
  await order({ id: 7, close: true });
  expect([pc!.closed, told]).toEqual([true, []]);
});

test("a connection that has failed is closed, and told as that", async () => {
  begin();
  await order({ id: 1, open: ["godwit", init] });
  told = [];
  Peer.all[1]!.change("failed", "failed");
  expect([told, Peer.all[1]!.closed]).toEqual([[[{ id: 1, states: ["failed", "failed"] }, []]], true]);
});

test("what the browser refuses is told in its words", async () => {
  begin();
  await order({ id: 1, open: ["godwit", init] });
  told = [];
  Peer.fails = "no SDP";
  await order({ id: 1, answer: {} });
  await order({ id: 2, open: ["godwit", init] });
  expect(told.map(([m]) => m)).toEqual([
    { id: 1, failure: "OperationError: no SDP" },
    { id: 2, channel: expect.anything() },
    { id: 2, failure: "OperationError: no SDP" },
  ]);
});

test("the worker gets the events of the page, and a page that may come back closes its connections", async () => {
  begin();
  await order({ id: 1, open: ["godwit", init] });
  told = [];
  const fire = (type: string, persisted: boolean): boolean => page.dispatchEvent(Object.assign(new Event(type), { persisted }));
  fire("pagehide", false);
  expect([told.splice(0), Peer.all[1]!.closed]).toEqual([[[{ life: "pagehide", persisted: false }, []]], false]);
  fire("pagehide", true);
  fire("pageshow", true);
  expect(told.map(([m]) => m)).toEqual([
    { life: "pagehide", persisted: true },
    { id: 1, states: ["closed", "closed"] },
    { life: "pageshow", persisted: true },
  ]);
  expect(Peer.all[1]!.closed).toBe(true);
});

test("the end closes the connections and the port, and listens to nothing", async () => {
  begin();
  await order({ id: 1, open: ["godwit", init] });
  told = [];
  end();
  expect([told, Peer.all[1]!.closed]).toEqual([[[{ id: 1, states: ["closed", "closed"] }, []]], true]);
  expect(port.close).toHaveBeenCalledOnce();
  page.dispatchEvent(Object.assign(new Event("pagehide"), { persisted: true }));
  worker.dispatchEvent(Object.assign(new Event("message"), { data: "godwit peer connections", ports: [port] }));
  expect(told.length).toBe(1);
});
