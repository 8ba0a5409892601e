import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** A TCP proxy before a server that makes trouble when told to. */
export class TroubleProxy {
  /** Answers 403 to each WebSocket, as proxies do that don't know them. */
  refuseUpgrades = false;
  /** Lets nobody in. */
  refuseAll = false;
  /** Lets WebSockets open, and then passes nothing on. */
  muteUpgrades = false;
  /** Takes all that comes and passes nothing on, in both directions, while connections stay open: what a lost network looks like. */
  swallow = false;
  readonly #lost = new WeakSet<Socket>();
  /** How many bytes clients have sent. */
  received = 0;
  /** How many WebSockets were asked for. */
  upgrades = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: string) {
    const { hostname, port } = new URL(target);
    this.#server = createServer((client) => {
      this.#track(client).on("data", (data) => {
        this.received += data.length;
      });
      client.once("data", (first: Buffer) => {
        const upgrade = /^upgrade: websocket/im.test(first.toString("latin1"));
        if (this.refuseAll) client.destroy();
        if (client.destroyed) return;
        if (upgrade) this.upgrades++;
        if (upgrade && this.refuseUpgrades) {
          client.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
          return;
        }
        const upstream = this.#track(connect(Number(port), hostname));
        let answered = false;
        const mute = () => this.swallow || this.#lost.has(client) || (upgrade && answered && this.muteUpgrades);
        upstream.on("data", (data) => {
          if (!mute()) client.write(data);
          answered = true;
        });
        client.on("data", (data) => mute() || upstream.write(data));
        client.once("close", () => upstream.destroy());
        upstream.once("close", () => this.swallow || client.destroy());
        if (!this.swallow) upstream.write(first);
      });
    });
  }

  static async start(target: string): Promise<TroubleProxy> {
    const proxy = new TroubleProxy(target);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    onTestFinished(async () => {
      proxy.#server.close();
      proxy.cut();
    });
    return proxy;
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the proxy doesn't listen");
    return `http://127.0.0.1:${address.port}`;
  }

  /** Forgets the connections that there are: nothing more comes over them, while new ones are well. */
  forget(): void {
    for (const socket of this.#sockets) this.#lost.add(socket);
  }

  /** Cuts all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #track(socket: Socket): Socket {
    this.#sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => this.#sockets.delete(socket));
    return socket;
  }
}
