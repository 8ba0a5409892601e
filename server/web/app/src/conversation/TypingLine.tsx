import { useTyping } from "../chat.ts";
import styles from "./typing.module.css";
import { typingLine } from "./words.ts";

/** Who types now, right above where one types oneself. Its room is always there, so that nothing jumps. It is not read out: it would never stop. */
export function TypingLine({ conversationId }: { conversationId: string }) {
  const line = typingLine(useTyping(conversationId));
  return (
    <div className={styles.place}>
      {line !== "" && (
        <>
          <span className={styles.dots} aria-hidden="true">
            <i />
            <i />
            <i />
          </span>
          <span className={styles.text}>{line}</span>
        </>
      )}
    </div>
  );
}
