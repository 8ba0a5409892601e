import { randomUUID } from "node:crypto";
import { ConversationKind } from "@natterjack/proto/chat/v1/conversation_pb.js";
import type { Event, Hello } from "@natterjack/proto/chat/v1/stream_pb.js";
import { onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { browserNetwork, type Network } from "../src/network.js";
import { nodeNetwork } from "../src/node.js";
import type { Surroundings } from "../src/surroundings.js";
import type { WebSocketConstructor } from "../src/websocket.js";
import type { Link } from "../src/wire.js";
import { createWire, type Wire, type WireOptions } from "../src/wiring.js";
import { eventually, status } from "./until.js";

/** As a browser has it: fetch, and a WebSocket, which Node 20 doesn't have by itself. */
export function webSocketNetwork(url: string): Network {
  return browserNetwork(url, WebSocket as unknown as WebSocketConstructor);
}

/** The ways to the server that can do all. */
export const networks: readonly (readonly [over: "http2" | "websocket", network: (url: string) => Network])[] = [
  ["http2", nodeNetwork],
  ["websocket", webSocketNetwork],
];

export { nodeNetwork };

/** One device: what a model would be made of, with what it has heard. */
export interface Device extends Wire {
  readonly link: Link;
  readonly events: readonly Event[];
  /** What hello says next. */
  hello: Pick<Hello, "token" | "positions">;
  /** Waits for the first event of that kind after the `from`-th. */
  heard<K extends Event["event"]["case"]>(kind: K, from?: number): Promise<Extract<Event["event"], { case: K }>["value"]>;
}

/** Opens a device that ends with the test. */
export function open(network: Network, options: Partial<WireOptions> = {}): Device {
  const wire = createWire({ network, inMemory: true, ...options });
  const events: Event[] = [];
  const device: Device = {
    ...wire,
    events,
    hello: { token: new Uint8Array(), positions: [] },
    link: wire.createLink({ hello: async () => device.hello, events: (more) => void events.push(...more) }),
    async heard(kind, from = 0) {
      const find = () => events.slice(from).find(({ event }) => event.case === kind)?.event.value;
      await eventually(() => find() !== undefined);
      return find() as never;
    },
  };
  onTestFinished(() => {
    device.link.stop();
    device.close();
  });
  return device;
}

/** A form for a user that isn't there yet. */
export function newUser(name = "user"): { username: string; password: string } {
  return { username: `${name}-${randomUUID().slice(0, 8)}`, password: "correct horse battery" };
}

/** A user with a device that is live. */
export async function live(network: Network, options: Partial<WireOptions> = {}): Promise<Device> {
  const device = open(network, options);
  await device.session.signUp(newUser());
  device.link.start();
  await status(device.link.state, "live");
  return device;
}

/** The id of the conversation of two. */
export async function conversation(from: Device, to: Device): Promise<string> {
  const memberIds = [to.session.userId.get() ?? ""];
  const answer = await from.calls.chat.createConversation({ kind: ConversationKind.DIRECT, memberIds });
  return answer.conversation?.id ?? "";
}

/** A browser around the page that does what the test wants. */
export class Browser implements Surroundings {
  #online = true;
  #visible = true;
  readonly #watchers = new Set<() => void>();
  online = () => this.#online;
  visible = () => this.#visible;

  watch(changed: () => void): () => void {
    this.#watchers.add(changed);
    return () => this.#watchers.delete(changed);
  }

  /** Whether nobody watches any more. */
  get unwatched(): boolean {
    return this.#watchers.size === 0;
  }

  becomes(state: { online?: boolean; visible?: boolean }): void {
    this.#online = state.online ?? this.#online;
    this.#visible = state.visible ?? this.#visible;
    for (const changed of [...this.#watchers]) changed();
  }
}

/** Web Locks as far as the client uses them: exclusive, by name, one after the other. Node has none. */
export class Locks {
  readonly #last = new Map<string, Promise<unknown>>();

  request = (<R>(name: string, work: (lock: Lock) => Promise<R>): Promise<R> => {
    const result = (this.#last.get(name) ?? Promise.resolve()).then(() => work({ name, mode: "exclusive" }));
    this.#last.set(
      name,
      result.catch(() => undefined),
    );
    return result;
  }) as LockManager["request"];
}
