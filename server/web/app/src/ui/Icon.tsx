import styles from "./icon.module.css";

/** Drawn on a grid of 24, as lines of 1.75: the same weight everywhere. */
const paths = {
  alert: "M12 8v5M12 16.5v.01M12 3.5 2.8 19.5h18.4z",
  back: "M19 12H5M11 6l-6 6 6 6",
  chat: "M4 5.5h16v11H10l-4.5 3.5v-3.5H4z",
  check: "m5 12.5 4.5 4.5L19 7.5",
  checks: "m2 12.5 4.5 4.5L15 8.5M11 15l2 2 9-9",
  clock: "M12 7.5V12l3 2M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0",
  close: "M6 6l12 12M18 6 6 18",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  device: "M7 3.5h10v17H7zM11 17.5h2",
  down: "M12 5v14M6 13l6 6 6-6",
  edit: "M4 20l1-4.5L16.5 4l3.5 3.5L8.5 19z",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12M15 12a3 3 0 1 1-6 0 3 3 0 0 1 6 0",
  "eye-off":
    "M4 4l16 16M9.5 6c.8-.3 1.6-.5 2.5-.5 6 0 9.5 6.5 9.5 6.5a16 16 0 0 1-3 3.7M6.5 7.5A15 15 0 0 0 2.5 12S6 18.5 12 18.5c1.5 0 2.8-.4 4-.9M10 10a3 3 0 0 0 4 4",
  info: "M12 11v5.5M12 7.5v.01M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0",
  leave: "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
  monitor: "M3.5 5h17v11h-17zM9 20h6M12 16v4",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5",
  more: "M12.5 5.5a.5.5 0 1 1-1 0 .5.5 0 0 1 1 0M12.5 12a.5.5 0 1 1-1 0 .5.5 0 0 1 1 0M12.5 18.5a.5.5 0 1 1-1 0 .5.5 0 0 1 1 0",
  offline:
    "M4 4l16 16M5 12.5a10 10 0 0 1 4-2.5M2 9a14 14 0 0 1 4-2.5M10.5 5.6A14 14 0 0 1 22 9M14.5 10.2a10 10 0 0 1 4.5 2.3M8.5 16a5 5 0 0 1 6.5-.3M12 19.5v.01",
  people:
    "M15 9a3.5 3.5 0 1 1-7 0 3.5 3.5 0 0 1 7 0M4.5 20c0-3.5 3-5.5 7-5.5s7 2 7 5.5M17 5.8a3.5 3.5 0 0 1 0 6.4M20 19c0-2-.7-3.2-2-4",
  person: "M16 8.5a4 4 0 1 1-8 0 4 4 0 0 1 8 0M4.5 20.5c0-3.8 3.3-6 7.5-6s7.5 2.2 7.5 6",
  "person-add": "M14 8.5a4 4 0 1 1-8 0 4 4 0 0 1 8 0M2.5 20.5c0-3.8 3.3-6 7.5-6s7.5 2.2 7.5 6M19 8v6M16 11h6",
  plus: "M12 5v14M5 12h14",
  reply: "M10 5 4 11l6 6M4 11h9a7 7 0 0 1 7 7v1",
  retry: "M20 12a8 8 0 1 1-2.5-5.8M20 3.5V8h-4.5",
  search: "M17 10.5a6.5 6.5 0 1 1-13 0 6.5 6.5 0 0 1 13 0M15.5 15.5 20.5 20.5",
  send: "M4 12 20.5 4.5 15 20l-3.5-6zM11.5 14 20.5 4.5",
  shield: "M12 3.5 5 6v6c0 4.5 3 7 7 8.5 4-1.5 7-4 7-8.5V6z",
  smile: "M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0M8.5 14.5c.8 1.3 2 2 3.5 2s2.7-.7 3.5-2M9 9.5v.01M15 9.5v.01",
  sun: "M16 12a4 4 0 1 1-8 0 4 4 0 0 1 8 0M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M18.7 5.3l-1.4 1.4M6.7 17.3l-1.4 1.4",
  trash: "M4.5 6.5h15M9 6.5V4h6v2.5M6.5 6.5 7.5 20h9l1-13.5M10.5 10.5v6M13.5 10.5v6",
} as const;

export type IconName = keyof typeof paths;

/** A drawing beside a text, or in a button that has a name of its own: screen readers pass over it. */
export function Icon({ name, size = 20 }: { name: IconName; size?: number }) {
  return (
    <svg className={styles.icon} width={size} height={size} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}
