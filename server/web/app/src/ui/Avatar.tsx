import type { PresenceState } from "@natterjack/client";
import { useState } from "react";
import styles from "./avatar.module.css";
import { cx } from "./cx.ts";
import { hueOf, initials } from "./initials.ts";

interface AvatarProps {
  /** Decides the colour, so that somebody keeps it through all changes of name. */
  id: string;
  name: string;
  url?: string | undefined;
  /** In pixels. */
  size?: 32 | 40 | 48 | 96;
  presence?: PresenceState | undefined;
  /** Groups have corners, people have none. */
  square?: boolean;
}

/** A picture of somebody, or initials where there is none or it does not load. It stands beside the name: screen readers pass over it. */
export function Avatar({ id, name, url, size = 40, presence, square = false }: AvatarProps) {
  const [broken, setBroken] = useState<string>();
  const picture = url?.startsWith("https://") && url !== broken;
  return (
    <span className={cx(styles.avatar, styles[`size${size}`], square && styles.square)} data-hue={hueOf(id)} aria-hidden="true">
      <span className={styles.face} data-initials={picture ? undefined : initials(name)}>
        {picture && (
          <img
            src={url}
            alt=""
            width={size}
            height={size}
            loading="lazy"
            decoding="async"
            referrerPolicy="no-referrer"
            onError={() => setBroken(url)}
          />
        )}
      </span>
      {(presence === "online" || presence === "away") && <span className={cx(styles.dot, styles[presence])} />}
    </span>
  );
}
