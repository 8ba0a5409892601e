import { type Event, ResumeKind } from "@natterjack/proto/chat/v1/stream_pb.js";
import type { Model } from "./model.js";
import { toPresence } from "./records.js";

/** Tells the model what an event of the stream says. */
export function hear(model: Model, e: Event): void {
  const { event } = e;
  switch (event.case) {
    case "ready":
      model.ready(event.value.serverTime, event.value.resumeKind === ResumeKind.RESET);
      return;
    case "summary":
      model.summary(event.value, !model.catching);
      return;
    case "receipt":
      model.receipt(event.value);
      return;
    case "typing":
      model.ephemera.type(event.value.conversationId, event.value.userId, event.value.typing);
      return;
    case "presence":
      model.ephemera.setPresence(event.value.userId, toPresence(event.value));
      return;
    case "resync":
      model.resync(event.value.conversationId, Number(event.value.lastSeq));
      return;
    case "caughtUp":
      model.caughtUp(event.value.token);
      return;
    default:
      if (e.seq > 0n && e.conversationId !== "") {
        model.durable(e);
      }
  }
}
