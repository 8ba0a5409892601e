import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { type TabMessage, Tabs } from "../src/tabs.js";
import { TestLocks } from "./locks.js";

// Only these: messages and locks go their real way.
beforeEach(() => {
  channels = [];
  vi.stubGlobal(
    "BroadcastChannel",
    class extends RealChannel {
      constructor(name: string) {
        super(name);
        channels.push(this);
      }
    },
  );
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval"] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** The channels of the tabs, in the order of opening: one that hears nothing is that of a frozen tab. */
let channels: BroadcastChannel[] = [];
const RealChannel = globalThis.BroadcastChannel;

const task = () => new Promise<void>((resolve) => setImmediate(resolve));

async function eventually(holds: () => boolean): Promise<void> {
  while (!holds()) await task();
}

let name = 0;

function open(locks: TestLocks, visible = true) {
  const tab = {
    leads: false,
    heard: [] as string[],
    gone: [] as string[],
    tabs: undefined as unknown as Tabs,
  };
  tab.tabs = new Tabs({
    name: `tabs-${name}`,
    locks,
    visible: () => visible,
    lead: (leads) => {
      tab.leads = leads;
    },
    heard: (message: TabMessage) => tab.heard.push(message.kind),
    gone: (id) => tab.gone.push(id),
  });
  onTestFinished(() => tab.tabs.close());
  return tab;
}

test("one tab leads, and when it closes, the one that waits the longest", async () => {
  name++;
  const locks = new TestLocks();
  const [a, b, c] = [open(locks), open(locks), open(locks)];
  await eventually(() => a.leads);
  expect([b.leads, c.leads]).toEqual([false, false]);
  a.tabs.close();
  await eventually(() => b.leads);
  expect(c.leads).toBe(false);
});

test("the leader learns that a tab has gone that it has heard of", async () => {
  name++;
  const locks = new TestLocks();
  const [a, b] = [open(locks), open(locks)];
  await eventually(() => a.leads);
  b.tabs.post({ kind: "join" });
  await eventually(() => a.heard.includes("join"));
  b.tabs.close();
  await eventually(() => a.gone.length === 1);
  expect(a.gone).toEqual([b.tabs.id]);
});

test("a leader that answers keeps the lead; one that doesn't loses it to a tab that is shown", async () => {
  name++;
  const locks = new TestLocks();
  const a = open(locks);
  await eventually(() => a.leads);
  const b = open(locks);
  const hidden = open(locks, false);
  await vi.advanceTimersByTimeAsync(10_000);
  await eventually(() => b.heard.includes("alive"));
  await vi.advanceTimersByTimeAsync(9_000);
  expect(b.leads).toBe(false);

  const [frozen] = channels;
  if (frozen) frozen.onmessage = null;
  await vi.advanceTimersByTimeAsync(15_000);
  await eventually(() => b.leads);
  expect(hidden.leads).toBe(false);
  await eventually(() => !a.leads);
});

test("what another version of the page says is passed over", async () => {
  name++;
  const a = open(new TestLocks());
  await eventually(() => a.leads);
  const other = new BroadcastChannel(`tabs-${name}`);
  onTestFinished(() => other.close());
  for (const m of [null, 7, "x", {}, { from: 1, message: { kind: "join" } }, { from: "z" }, { from: "z", message: {} }]) {
    other.postMessage(m);
  }
  other.postMessage({ from: "z", message: { kind: "of tomorrow" } });
  await eventually(() => a.heard.length > 0);
  expect(a.heard).toEqual(["of tomorrow"]);
});

test("where the browser refuses locks, a tab leads by itself", async () => {
  name++;
  const request = vi.fn(async () => {
    throw new DOMException("Access to the Locks API is denied in this context.", "SecurityError");
  });
  const a = open({ request } as unknown as TestLocks);
  await eventually(() => a.leads);
  await task();
  expect(request).toHaveBeenCalledTimes(2); // its own lock, and the lead: asking again would be of no use, and without end
});
