import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

/** The root of the repository. */
export const root = resolve(import.meta.dirname, "../../../..");

const binary = process.env.SERVER_UNDER_TEST ?? join(root, "bin/natterjack");

/** The environment without settings of a server of one's own. */
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("NATTERJACK_")));

/** How a server of a test differs from one without configuration: no limit is met by tests that are faster than people. */
const settings: Record<string, string> = {
  NATTERJACK_LOG_LEVEL: "warn",
  NATTERJACK_LIMIT_USER_RATE: "1000000",
  NATTERJACK_LIMIT_USER_BURST: "1000000",
  NATTERJACK_LIMIT_HASH_LINE: "1000",
};

/** A `natterjack serve` of its own: a process, a port and a folder for its database. It can die and come back at the same address. */
export class Server {
  private process: ChildProcess | undefined;
  private port = 0;
  private metricsUrl = "";

  private constructor(private readonly folder: string) {}

  static async start(): Promise<Server> {
    if (!existsSync(binary)) throw new Error(`${binary} is missing: run the tests by \`go tool task web-e2e\`, which builds it`);
    const server = new Server(await mkdtemp(join(tmpdir(), "natterjack-e2e-")));
    await server.restart();
    return server;
  }

  /** Where it serves, the same for its whole life. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts the process, on the old port where it had one; resolves when it serves. */
  async restart(): Promise<void> {
    const child = spawn(
      binary,
      [
        "serve",
        "--listen",
        `127.0.0.1:${this.port}`,
        "--metrics-listen",
        "127.0.0.1:0",
        "--log-level",
        "info",
        "--log-format",
        "json",
      ],
      {
        env: { ...environment, ...settings, NATTERJACK_DATABASE_URL: `sqlite:${join(this.folder, "natterjack.db")}` },
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    this.process = child;
    const said: string[] = [];
    await new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`the server ended with ${code}:\n${said.join("\n")}`)));
      createInterface({ input: child.stderr }).on("line", (line) => {
        const entry = JSON.parse(line) as { msg: string; url?: string; metrics?: string; level: string };
        if (entry.level === "ERROR") console.error(line);
        said.push(line);
        if (entry.msg !== "serving" || !entry.url || !entry.metrics) return;
        this.port = Number(new URL(entry.url).port);
        this.metricsUrl = entry.metrics;
        resolve();
      });
    });
  }

  /** Kills the process as a crash would: nothing is flushed, no goodbye is said. */
  async kill(): Promise<void> {
    await this.end("SIGKILL");
  }

  /** How many streams are open on the server, by its own count. */
  async streams(): Promise<number> {
    const text = await (await fetch(this.metricsUrl)).text();
    const count = /^natterjack_hub_streams (\d+)$/m.exec(text)?.[1];
    if (count === undefined) throw new Error("the metrics do not tell the number of streams");
    return Number(count);
  }

  /** Ends the process and removes what it stored. */
  async close(): Promise<void> {
    await this.end("SIGKILL");
    await rm(this.folder, { recursive: true, force: true });
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.process;
    this.process = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill(signal);
    await exit;
  }
}
