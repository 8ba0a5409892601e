import { useSyncExternalStore } from "react";
import { Button, IconButton } from "./Button.tsx";
import styles from "./toasts.module.css";
import { dismiss, shownToasts } from "./toasts.ts";

/** The one place where notes appear. It is always there, since screen readers only hear of changes in what they know. */
export function Toasts() {
  const toasts = useSyncExternalStore(shownToasts.subscribe, shownToasts.get);
  return (
    <div className={styles.toasts} role="status" aria-live="polite">
      {toasts.map((t) => (
        <div key={t.key} className={styles.toast}>
          <span dir="auto">{t.text}</span>
          {t.action !== undefined && (
            <Button
              look="plain"
              onClick={() => {
                t.action?.run();
                dismiss(t.key);
              }}
            >
              {t.action.label}
            </Button>
          )}
          <IconButton icon="close" label="Close" onClick={() => dismiss(t.key)} />
        </div>
      ))}
    </div>
  );
}
