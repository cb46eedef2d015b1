// The game of package interop/game, with the libraries of Node:
//
//	node --expose-gc game.mjs ws|socketio|colyseus HOST PORT RATE
//
// A line of JSON says where it listens. It ends with its standard input. GAME_FILES is a directory whose files it serves,
// for the page of package game.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [name, host, port, rate] = process.argv.slice(2);
const stateSize = 200;
const inputSize = 48;
const pingSize = 8;
const bulkSize = 4;
const chunkSize = 16 << 10;

let taken = 0; // inputs
let ticks = 0;
let players = () => 0;
let send; // sends a state to all

// receive processes a message. back returns a small message to its sender; room sends a chunk, and calls its argument
// when the connection takes another one.
function receive(b, back, room) {
  if (b.length >= inputSize) taken++;
  else if (b.length === pingSize) back(b);
  else if (b.length === bulkSize) {
    let left = b.readUInt32BE(0);
    const chunk = Buffer.alloc(chunkSize);
    const next = () => left-- > 0 && room(chunk, next);
    next();
  }
}

function tick() {
  const state = Buffer.alloc(stateSize);
  state.writeDoubleBE(performance.timeOrigin + performance.now());
  send(state);
  ticks++;
}

// enough is the number of bytes that may wait in a WebSocket.
const enough = 1 << 20;

// whenRoom calls next when a WebSocket of ws has room for another chunk.
function whenRoom(socket, next) {
  if (socket.readyState !== 1) return;
  if (socket.bufferedAmount < enough) setImmediate(next);
  else setTimeout(() => whenRoom(socket, next), 1);
}

const servers = {
  async ws(http) {
    http.on("request", files);
    const { WebSocketServer } = await import("ws");
    const server = new WebSocketServer({ server: http });
    server.on("connection", (c) => {
      c.on("error", () => {});
      c.on("message", (b) =>
        receive(
          b,
          (b) => c.send(b),
          (chunk, next) => {
            c.send(chunk);
            whenRoom(c, next);
          },
        ),
      );
    });
    players = () => server.clients.size;
    send = (state) => {
      for (const c of server.clients) c.send(state);
    };
    http.listen(port, host);
  },
  async socketio(http) {
    http.on("request", files);
    const { Server } = await import("socket.io");
    const server = new Server(http);
    server.on("connection", (c) => {
      c.on("input", (b) =>
        receive(
          b,
          (b) => c.emit("state", b),
          (chunk, next) => {
            c.emit("bulk", chunk);
            const { socket } = c.conn.transport; // that of ws
            if (socket) whenRoom(socket, next);
            else c.conn.once("drain", next);
          },
        ),
      );
    });
    players = () => server.sockets.sockets.size;
    send = (state) => server.emit("state", state);
    http.listen(port, host);
  },
  async colyseus(http) {
    const { Room, Server } = await import("@colyseus/core");
    const { WebSocketTransport } = await import("@colyseus/ws-transport");
    const rooms = new Set();
    class Game extends Room {
      onCreate() {
        this.maxClients = Infinity;
        this.autoDispose = false;
        this.patchRate = null; // there is no state that the library compares
        rooms.add(this);
        this.onMessage("*", () => {});
        this.onMessageBytes("input", (client, b) =>
          receive(
            Buffer.from(b.buffer, b.byteOffset, b.length),
            (b) => client.sendBytes("state", b),
            (chunk, next) => {
              client.sendBytes("bulk", chunk);
              whenRoom(client.ref, next);
            },
          ),
        );
      }
    }
    const server = new Server({
      transport: new WebSocketTransport({ server: http }),
      greet: false,
      gracefullyShutdown: false,
      express: (app) => app.use((request, response, next) => files(request, response) || next()),
    });
    server.define("game", Game);
    players = () => [...rooms].reduce((n, r) => n + r.clients.length, 0);
    send = (state) => rooms.forEach((r) => r.broadcastBytes("state", state));
    await server.listen(Number(port), host);
  },
};

// The figures have a server of their own, which no load uses.
const control = createServer((request, response) => {
  const json = (v) => response.end(JSON.stringify(v));
  switch (request.url) {
    case "/goroutines": // in Node: the handles and other resources that keep the event loop alive
      return json(process.getActiveResourcesInfo().length);
    case "/gc":
      globalThis.gc();
      return response.end();
    case "/ticks":
      json({ Players: players(), Ticks: ticks, Taken: taken });
      ticks = taken = 0;
  }
});

const types = { html: "text/html", js: "text/javascript" };

// files answers requests for the page. Other requests are for the library.
function files(request, response) {
  const file = request.url === "/" ? "index.html" : request.url.slice(1);
  if (!process.env.GAME_FILES || !/^[a-z.]+$/.test(file)) return false;
  let text;
  try {
    text = readFileSync(join(process.env.GAME_FILES, file));
  } catch {
    return false;
  }
  response.writeHead(200, { "Content-Type": types[file.split(".").pop()] ?? "application/octet-stream" });
  response.end(text);
  return true;
}

const listening = (server) => server.listening || new Promise((resolve) => server.once("listening", resolve));
const http = createServer();
await servers[name](http);
await listening(http);
await listening(control.listen(0, host));
setInterval(tick, 1000 / rate);
const at = (server) => `${host}:${server.address().port}`;
console.log(JSON.stringify({ load: `${name}://${at(http)}`, control: `http://${at(control)}` }));
process.stdin.on("end", () => process.exit(0)).resume();
