import type { Message } from "@natterjack/client";
import { useChat } from "../chat.ts";
import { Confirm } from "../ui/Confirm.tsx";

/** Asks before a message is deleted: it cannot be brought back. */
export default function DeleteDialog({ message, onClose }: { message: Message; onClose: () => void }) {
  const chat = useChat();
  return (
    <Confirm
      title="Delete this message?"
      verb="Delete"
      onConfirm={() => chat.delete(message.conversationId, message.seq)}
      onClose={onClose}
    >
      It goes away for everybody, and cannot be brought back.
    </Confirm>
  );
}
