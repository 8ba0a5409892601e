import { type InputHTMLAttributes, type ReactNode, type Ref, type RefObject, useId, useRef, useState } from "react";
import { IconButton } from "./Button.tsx";
import styles from "./field.module.css";

interface FieldProps extends Omit<InputHTMLAttributes<HTMLInputElement>, "id"> {
  label: string;
  hint?: ReactNode;
  /** What is wrong with the value, if something is. */
  error?: string | undefined;
  ref?: Ref<HTMLInputElement> | undefined;
}

/** A line of text with its name above and, below, a hint or what is wrong. A password can be looked at. */
export function Field({ label, hint, error, type = "text", ...rest }: FieldProps) {
  const id = useId();
  const [shown, setShown] = useState(false);
  const note = error ?? hint;
  return (
    <div className={styles.field}>
      <label htmlFor={id}>{label}</label>
      <div className={styles.line}>
        <input
          {...rest}
          id={id}
          type={shown ? "text" : type}
          aria-invalid={error !== undefined}
          aria-describedby={note === undefined ? undefined : `${id}-note`}
        />
        {type === "password" && (
          <IconButton
            icon={shown ? "eye-off" : "eye"}
            label={shown ? "Hide password" : "Show password"}
            onClick={() => setShown(!shown)}
          />
        )}
      </div>
      {note !== undefined && (
        <p id={`${id}-note`} className={error === undefined ? styles.hint : styles.error}>
          {note}
        </p>
      )}
    </div>
  );
}

interface SearchFieldProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  placeholder?: string;
  /** Keys that lead to it, for screen readers to tell. */
  shortcut?: string;
  ref?: RefObject<HTMLInputElement | null> | undefined;
}

/** Text that is searched for as it is written. Escape empties it, and so does the button in it. */
export function SearchField({ label, value, onChange, placeholder, shortcut, ref }: SearchFieldProps) {
  const own = useRef<HTMLInputElement>(null);
  const field = ref ?? own;
  const clear = () => {
    onChange("");
    field.current?.focus();
  };
  return (
    <div className={styles.search}>
      <input
        ref={field}
        type="search"
        enterKeyHint="search"
        autoComplete="off"
        dir="auto"
        spellCheck={false}
        aria-label={label}
        aria-keyshortcuts={shortcut}
        placeholder={placeholder ?? label}
        value={value}
        onChange={(e) => onChange(e.target.value)}
        onKeyDown={(e) => {
          if (e.key === "Escape" && value !== "") {
            e.preventDefault();
            e.stopPropagation();
            onChange("");
          }
        }}
      />
      {value !== "" && <IconButton icon="close" label="Clear" onClick={clear} />}
    </div>
  );
}
