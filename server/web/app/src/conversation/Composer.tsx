import type { Conversation, Message } from "@natterjack/client";
import {
  type ChangeEvent,
  type KeyboardEvent,
  type Ref,
  type RefObject,
  useCallback,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useRef,
  useState,
} from "react";
import { explain, useChat } from "../chat.ts";
import { mayWrite } from "../group/roles.ts";
import { IconButton } from "../ui/Button.tsx";
import { toast } from "../ui/toasts.ts";
import type { Place } from "./actions.ts";
import styles from "./composer.module.css";
import { bytesOf, maxBytes, warnBytes } from "./limit.ts";
import { Sender } from "./Quote.tsx";
import { preview } from "./text/preview.ts";
import { useDraft } from "./useDraft.ts";

/** What the text that is written will be. */
export type Writing = { readonly kind: "new" } | { readonly kind: "reply" | "edit"; readonly message: Message };

export interface ComposerHandle {
  focus(): void;
  /** Puts a text where the caret is. */
  insert(text: string): void;
}

interface ComposerProps {
  conversation: Conversation;
  writing: Writing;
  /** The reply or the edit was sent or given up. */
  onDone: () => void;
  onSent: () => void;
  /** Edits one's newest message. */
  onEditLast: () => void;
  onPickEmoji: (at: Place) => void;
  ref: Ref<ComposerHandle>;
}

/** The line in which messages are written, or why there is none. */
export function Composer(props: ComposerProps) {
  if (!mayWrite(props.conversation))
    return <p className={styles.reader}>You can read this group, but not write in it. Its admins can change that.</p>;
  return <Editor {...props} />;
}

function Editor({ conversation, writing, onDone, onSent, onEditLast, onPickEmoji, ref }: ComposerProps) {
  const chat = useChat();
  const area = useRef<HTMLTextAreaElement>(null);
  const [draft, setDraft] = useDraft(conversation);
  const [edited, setEdited] = useEdited(writing);
  const [busy, setBusy] = useState(false);
  const editing = writing.kind === "edit";
  const text = editing ? edited : draft;
  const bytes = bytesOf(text);
  const sendable = trimmed(text) !== "" && bytes <= maxBytes && !busy;
  useHeight(area, text);

  const write = useCallback(
    (value: string) => {
      (editing ? setEdited : setDraft)(value);
      if (!editing) chat.setTyping(conversation.id, value !== "");
    },
    [chat, conversation.id, editing, setDraft, setEdited],
  );

  useImperativeHandle(
    ref,
    () => ({
      focus: () => area.current?.focus(),
      insert(piece) {
        area.current?.focus();
        // The browser's own way, so that undo knows of it.
        if (area.current !== null && !document.execCommand("insertText", false, piece)) {
          area.current.setRangeText(piece, area.current.selectionStart, area.current.selectionEnd, "end");
          write(area.current.value);
        }
      },
    }),
    [write],
  );

  const send = async () => {
    if (!sendable) return;
    if (writing.kind === "edit") return save(writing.message);
    const content = trimmed(text);
    // Kept as a message before it goes as a draft: whenever the page ends, one of them is there.
    const sent = chat.send(conversation.id, content, writing.kind === "reply" ? { replyTo: writing.message.seq } : {});
    setDraft("");
    chat.setTyping(conversation.id, false);
    onDone();
    onSent();
    try {
      await sent;
    } catch (error) {
      toast(explain(error));
      setDraft(content);
    }
  };

  const save = async (message: Message) => {
    if (trimmed(text) === message.content) return onDone();
    setBusy(true);
    try {
      await chat.edit(conversation.id, message.seq, trimmed(text));
      onDone();
    } catch (error) {
      toast(explain(error));
    } finally {
      setBusy(false);
    }
  };

  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.key === "Enter" && sendsOnEnter(event)) {
      event.preventDefault();
      void send();
    } else if (event.key === "Escape" && writing.kind !== "new") {
      event.stopPropagation();
      onDone();
    } else if (event.key === "ArrowUp" && text === "" && writing.kind === "new") {
      event.preventDefault();
      onEditLast();
    }
  };

  return (
    <form
      className={styles.composer}
      aria-label="Write a message"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      {writing.kind !== "new" && <About writing={writing} onCancel={onDone} />}
      <div className={styles.line}>
        <IconButton icon="smile" label="Insert an emoji" onClick={(event) => onPickEmoji(event.currentTarget)} />
        <textarea
          ref={area}
          rows={1}
          dir="auto"
          aria-label={editing ? "Edit the message" : "Message"}
          placeholder={editing ? "Edit the message" : "Message"}
          aria-describedby={bytes >= warnBytes ? "composer-left" : undefined}
          aria-invalid={bytes > maxBytes || undefined}
          enterKeyHint={isTouch() ? "enter" : "send"}
          value={text}
          onChange={(event: ChangeEvent<HTMLTextAreaElement>) => write(event.target.value)}
          onKeyDown={onKeyDown}
        />
        <IconButton
          className={styles.send}
          type="submit"
          icon={editing ? "check" : "send"}
          label={editing ? "Save" : "Send"}
          disabled={!sendable}
          // A press must not take the focus from the text, or the keyboard of a phone would go and come.
          onPointerDown={(event) => event.preventDefault()}
        />
      </div>
      {bytes >= warnBytes && (
        <p id="composer-left" role="status" className={bytes > maxBytes ? styles.over : styles.hint}>
          {bytes > maxBytes
            ? `Too long by ${bytes - maxBytes} bytes. Send it as several messages.`
            : `${maxBytes - bytes} bytes left.`}
        </p>
      )}
    </form>
  );
}

/** What is answered or edited, above the line. */
function About({ writing: { kind, message }, onCancel }: { writing: Exclude<Writing, { kind: "new" }>; onCancel: () => void }) {
  return (
    <div className={styles.about}>
      <div>
        <span className={styles.aboutWhat}>
          {kind === "edit" ? (
            "Editing"
          ) : (
            <>
              Reply to <Sender message={message} className={undefined} />
            </>
          )}
        </span>
        <span className={styles.aboutText} dir="auto">
          {preview(message)}
        </span>
      </div>
      <IconButton icon="close" label={kind === "edit" ? "Stop editing" : "Do not reply"} onClick={onCancel} />
    </div>
  );
}

/** The text of an edit: that of the message until it is changed. */
function useEdited(writing: Writing): [string, (text: string) => void] {
  const message = writing.kind === "edit" ? writing.message : undefined;
  const [changed, setChanged] = useState<{ key: string; text: string }>();
  const text = message === undefined ? "" : changed?.key === message.key ? changed.text : message.content;
  useEffect(() => {
    if (message === undefined) setChanged(undefined);
  }, [message]);
  return [text, (text) => message !== undefined && setChanged({ key: message.key, text })];
}

/** As high as its text, up to what the style sheet allows. */
function useHeight(area: RefObject<HTMLTextAreaElement | null>, text: string): void {
  // biome-ignore lint/correctness/useExhaustiveDependencies: the height follows from the text
  useLayoutEffect(() => {
    const { current: element } = area;
    if (element === null || CSS.supports("field-sizing", "content")) return;
    element.style.blockSize = "auto";
    element.style.blockSize = `${element.scrollHeight}px`;
  }, [area, text]);
}

// Control characters but tab and line feed: nobody sees them, they come along with what is copied from a terminal, and the server refuses them.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const unseen = /[\x00-\x08\x0b-\x1f\x7f]/g;

/** Indentation stays, since it may be code. */
function trimmed(text: string): string {
  return text
    .replace(unseen, "")
    .replace(/^\s*\n/, "")
    .trimEnd();
}

/** Enter ends a line where it is typed on glass, and while an input method is at work it is that one's. */
function sendsOnEnter(event: KeyboardEvent): boolean {
  // 229 is what Safari says for the Enter that ends a composition, after it has ended.
  if (event.nativeEvent.isComposing || event.keyCode === 229 || event.shiftKey || event.altKey) return false;
  return event.ctrlKey || event.metaKey || !isTouch();
}

function isTouch(): boolean {
  return matchMedia("(pointer: coarse)").matches;
}
