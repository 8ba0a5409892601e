import { createClient, type Transport } from "@connectrpc/connect";
import { ChatService } from "@natterjack/proto/chat/v1/chat_service_pb.js";

/** The generated client, without any of the state: the bidirectional stream over a WebSocket, everything else over fetch. */
export async function nextEvents(transport: Transport, token: string): Promise<string[]> {
  const client = createClient(ChatService, transport);
  const headers = { authorization: `Bearer ${token}` };
  const end = new AbortController();
  async function* requests() {
    yield { request: { case: "hello" as const, value: {} } };
    await new Promise((resolve) => end.signal.addEventListener("abort", resolve)); // the stream lasts as long as this does
  }
  for await (const { events } of client.stream(requests(), { headers })) {
    end.abort();
    return events.map((e) => e.event.case ?? "of tomorrow");
  }
  return [];
}
