// Sessions in a Web Worker: the worker has no RTCPeerConnection, so the page makes the peer connections and transfers their
// data channels to the worker.

/** The message with which usePage sends its port to the page. */
const greeting = "godwit peer connections";

/** A request of the worker about its peer connection with this number. The page answers with a Reply. */
interface Order {
  id: number;
  /** Label and options of the channel of a new peer connection. */
  open?: [label: string, init: RTCDataChannelInit];
  answer?: RTCSessionDescriptionInit;
  close?: true;
}

/** What the page says of a peer connection. */
interface Reply {
  id: number;
  channel?: RTCDataChannel;
  /** The offer, after open. */
  offer?: RTCSessionDescriptionInit;
  /** The answer is set. */
  answered?: true;
  /** Why there is no offer, or why the answer could not be set. */
  failure?: string;
  states?: [connection: RTCPeerConnectionState, ice: RTCIceConnectionState];
}

/** The first message of the page: whether it can transfer data channels. */
interface Ready {
  able: boolean;
}

/** An event of the page that the sessions of the worker hear. */
interface Life {
  life: string;
  persisted: boolean;
}

const lives = ["pagehide", "pageshow"];

// ---- the page --------------------------------------------------------------------------------------------------------

/** Returns whether this page can transfer a data channel. */
function able(): boolean {
  let pc: RTCPeerConnection | undefined;
  try {
    pc = new RTCPeerConnection();
    const channel = pc.createDataChannel("");
    new MessageChannel().port1.postMessage(channel, [channel]); // structuredClone throws in Firefox, though postMessage works
    return true;
  } catch {
    return false; // the browser cannot, or has no WebRTC
  } finally {
    pc?.close();
  }
}

/** Makes the peer connections of the worker at the other end of port. Returns a function that closes all of them. */
function attend(port: MessagePort): () => void {
  const peers = new Map<number, RTCPeerConnection>();
  const tell = (message: Reply | Ready | Life, transfer: Transferable[] = []): void => port.postMessage(message, transfer);

  const close = (id: number): void => {
    peers.get(id)?.close();
    peers.delete(id);
  };

  const open = async (id: number, [label, init]: [string, RTCDataChannelInit]): Promise<void> => {
    const pc = new RTCPeerConnection();
    peers.set(id, pc);
    pc.onconnectionstatechange = pc.oniceconnectionstatechange = () => {
      const { connectionState: state } = pc;
      tell({ id, states: [state, pc.iceConnectionState] });
      if (/failed|closed/.test(state)) close(id); // as the worker does, but it may have ended
    };
    const channel = pc.createDataChannel(label, init);
    tell({ id, channel }, [channel]); // now: later, no browser transfers it
    await pc.setLocalDescription();
    const { type, sdp } = pc.localDescription!;
    tell({ id, offer: { type, sdp } });
  };

  const obey = async ({ id, open: wanted, answer, close: end }: Order): Promise<void> => {
    try {
      if (wanted) await open(id, wanted);
      if (answer) {
        await peers.get(id)!.setRemoteDescription(answer);
        tell({ id, answered: true });
      }
    } catch (e) {
      tell({ id, failure: `${e}` });
    }
    if (end) close(id);
  };

  const closeAll = (): void => {
    for (const [id, pc] of peers) {
      pc.close();
      tell({ id, states: ["closed", "closed"] });
    }
    peers.clear();
  };

  const live = (e: Event): void => {
    const { persisted } = e as PageTransitionEvent;
    tell({ life: e.type, persisted });
    // Browsers do not show a page again that has connections. In a page that goes for good the worker may still send.
    if (e.type === "pagehide" && persisted) closeAll();
  };

  port.onmessage = ({ data }: MessageEvent<Order>) => void obey(data);
  for (const type of lives) addEventListener(type, live);
  tell({ able: able() });
  return () => {
    for (const type of lives) removeEventListener(type, live);
    closeAll();
    port.close();
  };
}

/**
 * Makes the peer connections of a worker that calls usePage. Call serve in the page, in the task that makes the worker:
 * listeners for messages of the worker that are added later do not get those of usePage. Returns a function that closes the
 * peer connections and ends serve: call it when the page terminates the worker.
 */
export function serve(worker: Worker): () => void {
  const ends: (() => void)[] = [];
  const greet = (e: MessageEvent): void => {
    if (e.data !== greeting) return;
    e.stopImmediatePropagation();
    ends.push(attend(e.ports[0]!));
  };
  worker.addEventListener("message", greet);
  return () => {
    worker.removeEventListener("message", greet);
    for (const end of ends) end();
  };
}

// ---- the worker ------------------------------------------------------------------------------------------------------

const patience = 5000; // ms
const mute = 30_000; // ms until usePage rejects

type Handler<E extends Event = Event> = ((e: E) => void) | null;

/**
 * The data channel of a peer connection of the page, from createDataChannel on: what is set before the browser's own channel
 * arrives is given to it then.
 */
class Channel {
  private real: RTCDataChannel | undefined;
  private closed = false;
  private low = 0;
  binaryType: BinaryType = "arraybuffer";
  onopen: Handler = null;
  onmessage: Handler<MessageEvent> = null;
  onbufferedamountlow: Handler = null;
  onclose: Handler = null;

  get readyState(): RTCDataChannelState {
    return this.closed ? "closed" : (this.real?.readyState ?? "connecting");
  }

  get bufferedAmount(): number {
    return this.real?.bufferedAmount ?? 0;
  }

  get bufferedAmountLowThreshold(): number {
    return this.low;
  }

  set bufferedAmountLowThreshold(n: number) {
    this.low = n;
    if (this.real) this.real.bufferedAmountLowThreshold = n;
  }

  send(b: Uint8Array<ArrayBuffer> | string): void {
    if (!this.real) throw new TypeError("not open");
    this.real.send(b as string); // the types have an overload for each
  }

  /** Takes the browser's channel. */
  adopt(real: RTCDataChannel): void {
    if (this.closed) return real.close();
    this.real = real;
    real.binaryType = this.binaryType;
    real.bufferedAmountLowThreshold = this.low;
    real.onopen = (e) => this.onopen?.(e);
    real.onmessage = (e) => this.onmessage?.(e);
    real.onbufferedamountlow = (e) => this.onbufferedamountlow?.(e);
    real.onclose = (e) => this.onclose?.(e);
  }

  close(): void {
    this.closed = true;
    this.onopen = this.onmessage = this.onbufferedamountlow = this.onclose = null;
  }
}

/** What the class of peer connections needs of the worker. */
interface Page {
  send(order: Order): void;
  /** The live connections by number. */
  peers: Map<number, Peer>;
}

/** The part of RTCPeerConnection that the client uses. The connection itself is in the page. */
class Peer {
  private static last = 0;
  connectionState: RTCPeerConnectionState = "new";
  iceConnectionState: RTCIceConnectionState = "new";
  onconnectionstatechange: (() => void) | null = null;
  oniceconnectionstatechange: (() => void) | null = null;
  localDescription: RTCSessionDescriptionInit | null = null;
  private readonly id = ++Peer.last;
  private readonly channel = new Channel();
  private readonly replies: ((r: Reply) => void)[] = []; // take the answers to orders, in order
  private offer: Promise<Reply> | undefined;

  constructor(private readonly page: Page) {
    page.peers.set(this.id, this);
  }

  createDataChannel(label: string, init: RTCDataChannelInit = {}): Channel {
    this.offer = this.ask({ id: this.id, open: [label, init] });
    this.offer.catch(() => {}); // setLocalDescription rejects
    return this.channel;
  }

  async setLocalDescription(): Promise<void> {
    this.localDescription = (await this.offer)!.offer!;
  }

  async setRemoteDescription({ type, sdp }: RTCSessionDescriptionInit): Promise<void> {
    await this.ask({ id: this.id, answer: { type, ...(sdp && { sdp }) } });
  }

  /** Sends an order that the page answers. Rejects if the page has not answered for patience ms: it may be blocked. */
  private ask(order: Order): Promise<Reply> {
    this.page.send(order);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("the page does not answer: its thread may be blocked")), patience);
      this.replies.push((reply) => {
        clearTimeout(timer);
        if (reply.failure) reject(new Error(reply.failure));
        else resolve(reply);
      });
    });
  }

  /** Takes what the page says. */
  take(reply: Reply): void {
    const { channel, states } = reply;
    if (channel) return this.channel.adopt(channel);
    if (!states) return this.replies.shift()!(reply);
    const [connection, ice] = states;
    if (this.iceConnectionState !== (this.iceConnectionState = ice)) this.oniceconnectionstatechange?.();
    if (this.connectionState !== (this.connectionState = connection)) this.onconnectionstatechange?.();
  }

  close(): void {
    if (!this.page.peers.delete(this.id)) return;
    this.connectionState = "closed";
    this.channel.close();
    for (const take of this.replies) take({ id: this.id, failure: "closed" });
    this.page.send({ id: this.id, close: true });
  }
}

async function borrow(): Promise<boolean> {
  if ("RTCPeerConnection" in globalThis) return true;
  const { port1: port, port2 } = new MessageChannel();
  const peers = new Map<number, Peer>();
  const page: Page = { send: (order) => port.postMessage(order), peers };
  const ready = new Promise<boolean>((resolve, reject) => {
    const timer = setTimeout(() => {
      using = undefined;
      port.close();
      reject(new Error("godwit: the page has not called serve in the task that made the worker, or its thread is blocked"));
    }, mute);
    port.onmessage = ({ data }: MessageEvent<Reply | Ready | Life>) => {
      if ("able" in data) {
        clearTimeout(timer);
        resolve(data.able);
      } else if ("life" in data) dispatchEvent(Object.assign(new Event(data.life), { persisted: data.persisted }));
      else peers.get(data.id)?.take(data);
    };
  });
  const { postMessage } = globalThis as unknown as DedicatedWorker;
  postMessage(greeting, [port2]);
  if (!(await ready) || !("RTCDataChannel" in globalThis)) return false;
  const RTCPeerConnection = class extends Peer {
    constructor() {
      super(page);
    }
  };
  Object.assign(globalThis, { RTCPeerConnection });
  return true;
}

/** The part of DedicatedWorkerGlobalScope that the types of a page lack. */
interface DedicatedWorker {
  postMessage(message: string, transfer: Transferable[]): void;
}

let using: Promise<boolean> | undefined;

/**
 * Lets this worker use WebRTC: its page, which has called serve, makes the peer connections. Call usePage in a dedicated
 * worker and await it before connect, sessions, connectRaw or new Conn. It gives the worker a global RTCPeerConnection, with
 * the part that the client needs, and sends the events pagehide and pageshow of the page to the worker.
 *
 * Resolves when the page has called serve, with whether the worker has WebRTC. If not, because the browser cannot transfer
 * data channels or has no WebRTC, sessions use the other links, which work in a worker without the page. In a page, and in
 * a worker that has WebRTC already, usePage does nothing and resolves with true. Rejects with an Error if the page has not
 * answered for 30 s: a page that calls serve too late gets nothing of usePage. Another call tries again.
 */
export function usePage(): Promise<boolean> {
  return (using ??= borrow());
}
