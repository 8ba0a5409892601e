import { EmojiPicker as Picker } from "frimousse";
import { type AriaAttributes, useLayoutEffect, useRef, useState } from "react";
import { placeBeside } from "../ui/place.ts";
import { Spinner } from "../ui/Spinner.tsx";
import type { Place } from "./actions.ts";
import { loadEmoji } from "./emojiData.ts";
import styles from "./picker.module.css";

interface EmojiPickerProps {
  at: Place;
  onPick: (emoji: string) => void;
  onClose: () => void;
}

/** All emoji, to look through or search; open for as long as it is rendered. */
export default function EmojiPicker({ at, onPick, onClose }: EmojiPickerProps) {
  const ref = useRef<HTMLDivElement>(null);
  // A finger hits what is 44 pixels wide, which on the smallest phone is a seventh.
  const [columns] = useState(() => (matchMedia("(pointer: coarse)").matches ? 7 : 9));
  // biome-ignore lint/correctness/useExhaustiveDependencies: it opens once, where it was asked for
  useLayoutEffect(() => {
    const { current: popover } = ref;
    if (popover === null) return;
    popover.showPopover();
    placeBeside(popover, at);
    popover.querySelector("input")?.focus({ preventScroll: true });
  }, []);
  return (
    <div
      ref={ref}
      popover="auto"
      role="dialog"
      aria-label="Emoji"
      className={styles.popover}
      onToggle={(event) => event.newState === "closed" && onClose()}
    >
      <Picker.Root
        className={styles.picker}
        columns={columns}
        resolveEmojiData={loadEmoji}
        onEmojiSelect={({ emoji }) => {
          ref.current?.hidePopover();
          onPick(emoji);
        }}
      >
        <div className={styles.top}>
          <Picker.Search className={styles.search} aria-label="Search emoji" placeholder="Search emoji" />
          <Picker.SkinToneSelector className={styles.skin} aria-label="Change skin tone" />
        </div>
        <Picker.Viewport className={styles.viewport}>
          <Picker.Loading className={styles.note}>
            <Spinner label="Loading emoji" />
          </Picker.Loading>
          <Picker.Empty className={styles.note}>No emoji found</Picker.Empty>
          <Picker.List className={styles.list} components={parts} />
        </Picker.Viewport>
      </Picker.Root>
    </div>
  );
}

const parts: NonNullable<React.ComponentProps<typeof Picker.List>["components"]> = {
  CategoryHeader: ({ category, ...props }) => (
    <div className={styles.category} {...props}>
      {category.label}
    </div>
  ),
  Row: (props) => <div className={styles.row} {...counted(props)} />,
  Emoji: ({ emoji, ...props }) => (
    <button type="button" className={styles.emoji} {...counted(props)}>
      {emoji.emoji}
    </button>
  ),
};

/** frimousse counts rows and columns from 0, ARIA from 1. */
function counted<T extends AriaAttributes>(props: T): T {
  const { "aria-rowindex": row, "aria-colindex": column } = props;
  return {
    ...props,
    ...(row !== undefined && { "aria-rowindex": row + 1 }),
    ...(column !== undefined && { "aria-colindex": column + 1 }),
  };
}
