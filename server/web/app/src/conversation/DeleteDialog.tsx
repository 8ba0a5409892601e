import type { Message } from "@natterjack/client";
import { useState } from "react";
import { explain, useChat } from "../chat.ts";
import { Button } from "../ui/Button.tsx";
import { Dialog } from "../ui/Dialog.tsx";
import { toast } from "../ui/toasts.ts";
import { preview } from "./words.ts";

/** Asks before a message is deleted: it cannot be brought back. */
export default function DeleteDialog({ message, onClose }: { message: Message; onClose: () => void }) {
  const chat = useChat();
  const [busy, setBusy] = useState(false);
  const confirm = async () => {
    setBusy(true);
    try {
      await chat.delete(message.conversationId, message.seq);
    } catch (error) {
      toast(explain(error));
    }
    onClose();
  };
  return (
    <Dialog
      title="Delete this message?"
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Keep it</Button>
          <Button look="danger" busy={busy} onClick={() => void confirm()}>
            Delete
          </Button>
        </>
      }
    >
      <p>It goes away for everybody, and cannot be brought back.</p>
      <blockquote dir="auto">{preview(message)}</blockquote>
    </Dialog>
  );
}
