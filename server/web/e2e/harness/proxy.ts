import { once } from "node:events";
import { createServer, type Server as HttpServer, request as httpRequest, type IncomingMessage } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";

/** What stands between a browser and a server, and how it misbehaves:
 * - `open`: everything passes.
 * - `no-websocket`: requests to upgrade are refused, as some company proxies do.
 * - `dark`: connections are taken and nothing comes back, as behind a router that has lost its uplink.
 */
export type Weather = "open" | "no-websocket" | "dark";

/** A reverse proxy (HTTP/1.1, upgrades included) in front of one server. Its address stays the same whatever the weather. */
export class Middlebox {
  private weather: Weather = "open";
  private readonly sockets = new Set<Socket>();
  /** Requests to upgrade that were refused. */
  refused = 0;

  private constructor(
    private readonly target: URL,
    private readonly http: HttpServer,
  ) {
    http.on("connection", (socket: Socket) => this.keep(socket));
    http.on("request", (request, response) => {
      if (this.weather === "dark") return;
      const onward = httpRequest(this.target, {
        method: request.method,
        path: request.url,
        headers: request.headers,
        agent: false,
      });
      onward.on("socket", (socket) => this.keep(socket));
      onward.on("response", (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
        answer.on("error", () => response.destroy());
      });
      onward.on("error", () => response.destroy());
      response.on("close", () => onward.destroy());
      request.pipe(onward);
    });
    http.on("upgrade", (request: IncomingMessage, browser: Duplex, head: Buffer) => this.upgrade(request, browser, head));
  }

  static async start(target: string): Promise<Middlebox> {
    const http = createServer({ requestTimeout: 0 });
    const proxy = new Middlebox(new URL(target), http);
    http.listen(0, "127.0.0.1");
    await once(http, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}`;
  }

  /** Changes the weather. What is open stays open, but silent where it turns dark; call {@link cut} for a harder change. */
  turn(weather: Weather): void {
    this.weather = weather;
    for (const socket of this.sockets) {
      if (weather === "dark") socket.pause();
      else socket.resume();
    }
  }

  /** Cuts all connections at once. New ones meet the weather as it is. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    this.http.close();
    await once(this.http, "close");
  }

  private upgrade(request: IncomingMessage, browser: Duplex, head: Buffer): void {
    browser.on("error", () => {});
    if (this.weather === "dark") return;
    if (this.weather === "no-websocket") {
      this.refused++;
      browser.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    const server = connect(Number(this.target.port), this.target.hostname);
    this.keep(server);
    server.write(`${request.method} ${request.url} HTTP/1.1\r\n`);
    for (let i = 0; i < request.rawHeaders.length; i += 2)
      server.write(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}\r\n`);
    server.write("\r\n");
    server.write(head);
    server.pipe(browser).pipe(server);
    server.on("close", () => browser.destroy());
    browser.on("close", () => server.destroy());
  }

  private keep(socket: Socket): void {
    this.sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.sockets.delete(socket));
  }
}
