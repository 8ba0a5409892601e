import type { ReactNode } from "react";
import { Button } from "./Button.tsx";
import { Dialog } from "./Dialog.tsx";
import { Problem } from "./Problem.tsx";
import { useTask } from "./useTask.ts";

interface ConfirmProps {
  title: string;
  /** What the button says it does. */
  verb: string;
  /** The dialog closes when it is done, and says why where it fails. */
  onConfirm: () => Promise<void>;
  onClose: () => void;
  children: ReactNode;
}

/** Asks before something that cannot be undone. */
export function Confirm({ title, verb, onConfirm, onClose, children }: ConfirmProps) {
  const task = useTask();
  const confirm = async () => {
    if (await task.run(onConfirm)) {
      onClose();
    }
  };
  const footer = (
    <>
      <Button onClick={onClose}>Cancel</Button>
      <Button look="danger" busy={task.busy} onClick={confirm}>
        {verb}
      </Button>
    </>
  );
  return (
    <Dialog title={title} onClose={onClose} footer={footer}>
      <p>{children}</p>
      <Problem text={task.problem} />
    </Dialog>
  );
}
