/** Shows a parsed message. Everything becomes a React element or text: there is no way from a message to HTML. */

import { Fragment, memo, type ReactNode } from "react";
import { emojiCount } from "./emoji.ts";
import styles from "./message-text.module.css";
import { type Block, type Inline, parse } from "./parse.ts";

/** The content of a message. Emoji alone are large. */
export const MessageText = memo(function MessageText({ content }: { content: string }) {
  const emoji = emojiCount(content);
  if (emoji > 0)
    return (
      <div className={styles.emoji} data-few={emoji <= 3 || undefined} dir="auto">
        {content.trim()}
      </div>
    );
  return <div className={styles.text}>{keyed(parse(content).map(block))}</div>;
});

function block(value: Block): ReactNode {
  switch (value.kind) {
    case "code":
      return (
        <pre dir="ltr">
          {value.language !== "" && <span className={styles.language}>{value.language}</span>}
          <code>{value.text}</code>
        </pre>
      );
    case "quote":
      return <blockquote dir="auto">{keyed(value.children.map(piece))}</blockquote>;
    case "text":
      return <p dir="auto">{keyed(value.children.map(piece))}</p>;
  }
}

function piece(value: Inline): ReactNode {
  if (typeof value === "string") return value;
  switch (value.kind) {
    case "bold":
      return <strong>{keyed(value.children.map(piece))}</strong>;
    case "italic":
      return <em>{keyed(value.children.map(piece))}</em>;
    case "strike":
      return <s>{keyed(value.children.map(piece))}</s>;
    case "code":
      return (
        <code dir="ltr" className={styles.code}>
          {value.text}
        </code>
      );
    case "link":
      return (
        <a href={value.href} target="_blank" rel="noopener noreferrer nofollow" dir="ltr">
          {value.text}
        </a>
      );
  }
}

/** Pieces of a text have no identity beyond their place. */
function keyed(nodes: readonly ReactNode[]): ReactNode[] {
  // biome-ignore lint/suspicious/noArrayIndexKey: the text is parsed anew as a whole
  return nodes.map((node, at) => <Fragment key={at}>{node}</Fragment>);
}
