import { lazy, Suspense, useEffect, useRef } from "react";
import { useLocation, useSearch } from "wouter";
import { ConnectionBanner } from "./ConnectionBanner.tsx";
import { Conversations } from "./list/Conversations.tsx";
import { type Place, paths, readPlace } from "./paths.ts";
import styles from "./shell.module.css";
import { Title } from "./Title.tsx";
import { cx } from "./ui/cx.ts";
import { Empty } from "./ui/Empty.tsx";
import { Spinner } from "./ui/Spinner.tsx";

const Conversation = lazy(() => import("./conversation/index.tsx"));
const Details = lazy(() => import("./group/Details.tsx"));
const Settings = lazy(() => import("./settings/Settings.tsx"));

/** What somebody who is signed in sees: the list, what is chosen from it, and on wide screens the details of that beside it. */
export function Shell() {
  const [path, navigate] = useLocation();
  const place = readPlace(path, useSearch());
  const lost = !(place.view === "list" || place.view === "settings" || "id" in place);
  useEffect(() => {
    if (lost) {
      navigate(paths.list, { replace: true });
    }
  }, [lost, navigate]);
  const open = "id" in place ? place.id : undefined;
  const view = viewOf(place);
  const panes = useRef<HTMLDivElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is on screen has changed
  useEffect(() => {
    if (focusIsLost()) {
      panes.current?.querySelector<HTMLElement>(`[data-pane=${view}]`)?.focus();
    }
  }, [view, open]);
  return (
    <div className={styles.frame}>
      <Title open={open} />
      <ConnectionBanner />
      <div ref={panes} className={styles.panes} data-view={view}>
        <nav className={cx(styles.pane, styles.list)} data-pane="list" tabIndex={-1} aria-label="Conversations">
          <Conversations open={open} details={place.view === "details"} />
        </nav>
        <main className={cx(styles.pane, styles.main)} data-pane="main" tabIndex={-1}>
          <Suspense fallback={<Waiting />}>
            {open !== undefined && <Conversation key={open} id={open} {...("at" in place && { at: place.at })} />}
            {place.view === "settings" && <Settings />}
            {place.view === "list" && <NothingOpen />}
          </Suspense>
        </main>
        {place.view === "details" && (
          <aside className={cx(styles.pane, styles.details)} data-pane="details" tabIndex={-1} aria-label="Details">
            <Suspense fallback={<Waiting />}>
              <Details key={place.id} id={place.id} />
            </Suspense>
          </aside>
        )}
      </div>
    </div>
  );
}

function viewOf(place: Place): "list" | "main" | "details" {
  switch (place.view) {
    case "details":
      return "details";
    case "conversation":
    case "settings":
      return "main";
    default:
      return "list";
  }
}

/** Whether what had the focus is gone, or in a pane that is not on screen: the keyboard and screen readers would have to begin at the top. */
function focusIsLost(): boolean {
  const { activeElement, body } = document;
  return activeElement === null || activeElement === body || !activeElement.checkVisibility({ visibilityProperty: true });
}

function NothingOpen() {
  return (
    <Empty toad title="Natterjack">
      <p>Choose a conversation, or begin a new one.</p>
    </Empty>
  );
}

function Waiting() {
  return (
    <div className={styles.waiting}>
      <Spinner label="Loading" />
    </div>
  );
}
