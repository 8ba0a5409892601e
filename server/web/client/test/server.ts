import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises"; // which goes on where the global one stands still
import { inject, onTestFinished } from "vitest";

/** A real server with an address and a database of its own. */
export class Server {
  /** The system's choice at the first start, as a port that was found free before may be somebody else's by then; kept from then on. */
  #address = "127.0.0.1:0";
  readonly #program: string;
  readonly #folder: string;
  readonly #settings: Readonly<Record<string, string>>;
  #process: ChildProcess | undefined;
  #log = "";

  private constructor(program: string, folder: string, settings: Readonly<Record<string, string>>) {
    this.#program = program;
    this.#folder = folder;
    this.#settings = settings;
  }

  /** Starts a server; whoever starts it ends it by {@link stop}. Settings are environment variables, such as NATTERJACK_ACCESS_TOKEN_LIFE. */
  static async start(settings: Readonly<Record<string, string>> = {}): Promise<Server> {
    const folder = await mkdtemp(join(tmpdir(), "natterjack-data-"));
    const server = new Server(inject("natterjack"), folder, settings);
    await server.restart();
    return server;
  }

  /** Starts a server that ends with the test. */
  static async forTest(settings: Readonly<Record<string, string>> = {}): Promise<Server> {
    const server = await Server.start(settings);
    onTestFinished(() => server.stop());
    return server;
  }

  /** Where it serves, the same for its whole life. */
  get url(): string {
    return `http://${this.#address}`;
  }

  get #database(): string {
    return `sqlite:${join(this.#folder, "natterjack.db")}`;
  }

  /** Starts the server again, with its database; other settings may hold from now on. */
  async restart(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    const child = spawn(this.#program, ["serve"], {
      // Nothing of the environment: what somebody has set for their own server would change the test.
      env: { NATTERJACK_DATABASE_URL: this.#database, NATTERJACK_LISTEN: this.#address, ...this.#settings, ...settings },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process = child;
    const before = this.#log.length;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#log += text;
      });
    }
    for (;;) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the server didn't start:\n${this.#log}`);
      const [, address] = /msg=serving url=http:\/\/(\S+)\s/.exec(this.#log.slice(before)) ?? [];
      if (address) {
        this.#address = address;
        const ready = await fetch(`${this.url}/readyz`).catch(() => undefined);
        if (ready?.ok) return;
      }
      await setTimeout(20);
    }
  }

  /** Ends the server and drops its database. */
  async stop(): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true });
  }

  /** Ends the server as a power cut would. */
  async kill(): Promise<void> {
    await this.#signal("SIGKILL");
  }

  /** Ends the server in good order: its streams are told where to go. */
  async drain(): Promise<void> {
    await this.#signal("SIGTERM");
  }

  /** Keeps a copy of the database, or brings it back; the server must not run. */
  async backUp(): Promise<void> {
    await cp(this.#folder, `${this.#folder}.backup`, { recursive: true });
    onTestFinished(() => rm(`${this.#folder}.backup`, { recursive: true }));
  }

  async restore(): Promise<void> {
    await rm(this.#folder, { recursive: true });
    await cp(`${this.#folder}.backup`, this.#folder, { recursive: true });
  }

  /** Runs `natterjack admin`; the server must not run. */
  admin(...args: string[]): void {
    execFileSync(this.#program, ["admin", "-database-url", this.#database, ...args], { env: {}, stdio: "pipe" });
  }

  async #signal(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill(signal);
    await gone;
  }
}
