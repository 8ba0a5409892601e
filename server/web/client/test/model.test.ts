import { create } from "@bufbuild/protobuf";
import { type Event, MembersChangedSchema, ResumeKind } from "@natterjack/proto/chat/v1/stream_pb.js";
import { describe, expect, test } from "vitest";
import { Model } from "../src/model/model.js";
import type { Load, Piece, Place } from "../src/model/piece.js";
import { toConversation, toMessage } from "../src/model/records.js";
import { Notifier } from "../src/model/signal.js";
import { caughtUp, chance, id, peer, ready, resync, self, summaryEvent, World } from "./world.js";

/** A client of a world. What it asks for is answered in two steps, each at any later time: the server reads, and the answer arrives. */
class Client {
  readonly model = new Model(
    self,
    new Notifier(),
    () => {},
    () => 0,
  );
  readonly piece: Piece;
  readonly #world: World;
  readonly #random: (below: number) => number;
  readonly #stream: Event[] = [];
  readonly #told: Event[] = [];
  #calls: (() => (() => void) | undefined)[] = [];
  #answers: (() => void)[] = [];

  constructor(world: World, stream: Event[], random: (below: number) => number) {
    this.#world = world;
    this.#stream = stream;
    this.#random = random;
    this.connect(ResumeKind.FULL);
    this.piece = this.model.pieces.open(id, () => {});
  }

  /** A new stream: what waited in the old one is lost, and told in short. */
  connect(kind: ResumeKind): void {
    this.#stream.length = 0;
    this.#stream.push(ready(kind), summaryEvent(this.#world.summary()));
    const cursor = this.piece?.cursor ?? 0;
    if (this.piece?.loaded && !this.piece.stale) {
      const missing = this.#world.events(cursor, 10);
      if (cursor + missing.length < this.#world.head) {
        this.#stream.push(resync(this.#world.head));
      } else {
        this.#stream.push(...missing);
      }
    }
    this.#stream.push(caughtUp());
  }

  /** The server gives up telling what waits: it is to be fetched. */
  overflow(): void {
    if (!this.model.catching && !this.#stream.some((e) => e.event.case === "ready")) {
      this.#stream.length = 0;
      this.#stream.push(resync(this.#world.head));
    }
  }

  hear(): void {
    const e = this.#stream.shift();
    if (e) {
      this.#told.push(e);
      this.model.apply([e]);
      this.#want();
    }
  }

  hearAgain(): void {
    const e = this.#told[this.#random(this.#told.length)];
    if (e && (e.seq > 0n || e.event.case === "receipt")) {
      this.model.apply([e]);
      this.#want();
    }
  }

  load(place: Place, around: number): void {
    const { piece } = this;
    if (place !== "replace" && (!piece.loaded || piece.stale || (place === "newer" ? piece.atHead : !piece.hasOlder))) {
      return;
    }
    const seq = place === "older" ? piece.first : place === "newer" ? piece.last : around;
    const load: Load = piece.begin(place);
    this.#calls.push(() => {
      const page = this.#random(8) === 0 && !this.#ending ? undefined : this.#world.page(place, seq, 6);
      return () => piece.end(load, page);
    });
  }

  repair(): void {
    if (this.model.catching || !this.piece.behind || this.piece.stale) {
      return;
    }
    const { cursor } = this.piece;
    this.#calls.push(() => {
      const events = this.#world.events(cursor, 7);
      return () => this.model.fetched(events);
    });
  }

  markRead(seq: number): void {
    this.model.markRead(id, seq);
    this.#want();
    this.#calls.push(() => {
      this.#world.read(self, seq);
      return () => this.model.marks(id, { userId: self, readSeq: seq, deliveredSeq: seq, readTime: 0 }, true);
    });
  }

  serve(): void {
    const answer = this.#calls.splice(this.#random(this.#calls.length), 1)[0]?.();
    if (answer) {
      this.#answers.push(answer);
    }
  }

  answer(): void {
    this.#answers.splice(this.#random(this.#answers.length), 1)[0]?.();
    this.#want();
  }

  #ending = false;

  /** Lets everything arrive, and fetches what is missing. */
  settle(): void {
    this.#ending = true;
    for (let i = 0; i < 1000; i++) {
      while (this.#stream.length > 0) {
        this.hear();
      }
      while (this.#calls.length > 0) {
        this.serve();
      }
      while (this.#answers.length > 0) {
        this.answer();
      }
      if (this.piece.stale) {
        this.load("replace", 0);
      }
      this.repair();
      if (this.#stream.length + this.#calls.length === 0) {
        return;
      }
    }
    throw new Error("it doesn't settle");
  }

  #want(): void {
    if (this.model.take().refetch.size > 0) {
      this.#calls.push(() => {
        const s = this.#world.summary();
        return () => this.model.summary(s);
      });
    }
  }
}

function live(seed: number, steps: number) {
  const random = chance(seed);
  const stream: Event[] = [];
  const world = new World((e) => stream.push(e));
  for (let i = random(30); i > 0; i--) {
    world.send(random(2) === 0 ? self : peer);
  }
  const client = new Client(world, stream, random);
  const some = () => world.messages[random(world.messages.length)];
  const place = () => random(world.head) + 1;
  const steps_: (() => void)[] = [
    () => world.send(self),
    () => world.send(peer),
    () => world.send(peer),
    () => {
      const m = some();
      if (m) world.change(m, random(5) === 0);
    },
    () => world.rename(),
    () => world.read(peer, place()),
    () => world.read(self, place()),
    () => world.delivered(peer, place()),
    () => client.markRead(place()),
    () => client.load("replace", random(2) * place()),
    () => client.load("older", 0),
    () => client.load("newer", 0),
    () => client.repair(),
    () => client.overflow(),
    () => client.connect(ResumeKind.DELTA),
    ...Array.from({ length: 8 }, () => () => client.hear()),
    () => client.hearAgain(),
    ...Array.from({ length: 3 }, () => () => client.serve()),
    ...Array.from({ length: 3 }, () => () => client.answer()),
  ];
  const states = new Map<number, number>();
  for (let i = 0; i < steps; i++) {
    steps_[random(steps_.length)]?.();
    for (const m of client.piece.messages) {
      expect(m.changedSeq, `message ${m.seq} goes back, seed ${seed}`).toBeGreaterThanOrEqual(states.get(m.seq) ?? 0);
      states.set(m.seq, m.changedSeq);
    }
  }
  client.settle();
  return { world, client };
}

describe("whatever comes twice, late, or not at all, a client ends with what a new one would fetch", () => {
  test.each(Array.from({ length: 16 }, (_, n) => n))("chance %i", (group) => {
    for (let seed = group * 50; seed < group * 50 + 50; seed++) {
      const { world, client } = live(seed, 40 + (seed % 160));
      const c = client.model.state(id);
      const truth = toConversation(world.summary());
      const got = c && { ...c.record, updateTime: 0, own: { ...c.record.own, readTime: 0 } };
      const want = { ...truth, updateTime: 0, own: { ...truth.own, readTime: 0 } };
      expect({ seed, ...got }).toEqual({
        seed,
        ...want,
        saidReadSeq: got?.saidReadSeq,
        saidDeliveredSeq: got?.saidDeliveredSeq,
      });

      const all = world.messages.map(toMessage);
      const { piece } = client;
      const shown = all.filter((m) => m.seq >= piece.first && (piece.atHead || m.seq <= piece.last));
      expect({ seed, messages: piece.messages }).toEqual({ seed, messages: all.length > 0 && piece.first === 0 ? [] : shown });
      expect({ seed, hasOlder: piece.hasOlder }).toEqual({ seed, hasOlder: piece.first > (all[0]?.seq ?? 0) });
      expect(piece.cursor).toBe(world.head);
      expect({ seed, views: piece.views() }).toEqual({ seed, views: shown.map((m) => c?.messageView(m)) });
      const last = client.model.conversation(id).get()?.lastMessage;
      expect({ seed, last }).toEqual({ seed, last: all.length > 0 ? c?.messageView(all.at(-1) as (typeof all)[0]) : undefined });
    }
  });
});

test("events beyond a hole count once the hole is covered, without asking again", () => {
  const stream: Event[] = [];
  const world = new World((e) => stream.push(e));
  const model = new Model(self, new Notifier(), () => {});
  model.summary(world.summary());
  world.send(peer);
  const late = world.summary();
  world.send(peer);
  world.rename();
  const [, ...beyond] = stream;
  model.apply(beyond);
  expect(model.take().refetch).toEqual(new Set([id]));
  expect(model.conversation(id).get()).toMatchObject({ unread: 0, title: "title 1" });
  model.summary(late);
  expect(model.conversation(id).get()).toMatchObject({ unread: 2, title: "title 4", lastMessage: { content: "message 3" } });
  const outcome = model.take();
  expect(outcome.refetch.size).toBe(0);
  expect(outcome.arrived.map((a) => a.message.content)).toEqual(["message 2", "message 3"]);
});

test("what has not changed keeps its identity", () => {
  const stream: Event[] = [];
  const world = new World((e) => stream.push(e));
  const model = new Model(self, new Notifier(), () => {});
  world.send(self);
  world.send(peer);
  model.summary(world.summary());
  const piece = model.pieces.open(id, () => {});
  piece.end(piece.begin("replace"), world.page("replace", 0, 10));
  const before = { c: model.conversation(id).get(), views: piece.views() };
  model.apply(stream); // all of it is known
  model.summary(world.summary());
  expect(model.conversations.get()[0]).toBe(before.c);
  stream.length = 0;
  world.change(world.messages[0] as (typeof world.messages)[0], false);
  model.apply(stream);
  expect(piece.views()[0]).not.toBe(before.views[0]);
  expect(piece.views()[1]).toBe(before.views[1]);
});

test("nothing is asked about a conversation that one is not in any more, until one is in it again", () => {
  const stream: Event[] = [];
  const world = new World((e) => stream.push(e));
  const model = new Model(self, new Notifier(), () => {});
  model.summary(world.summary());
  world.send(peer);
  model.drop(id);
  model.apply(stream);
  expect(model.take().refetch.size).toBe(0);
  expect(model.gone(id)).toBe(true);
  const [told] = stream as [Event];
  const value = create(MembersChangedSchema, { members: [{ user: { id: self } }] });
  model.apply([{ ...told, event: { case: "members", value } }]);
  expect(model.take().refetch).toEqual(new Set([id]));
  model.summary(world.summary());
  expect(model.gone(id)).toBe(false);
});
