import type { Chat, Observable, TimelineState } from "@natterjack/client";
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";

/** Shows an observable: draws anew when its value is another one, and only then. */
export function useObservable<T>(observable: Observable<T>): T {
  const [subscribe, get] = useMemo(
    () => [(changed: () => void) => observable.subscribe(changed), () => observable.get()],
    [observable],
  );
  return useSyncExternalStore(subscribe, get, get);
}

/** The conversations, newest first; `chat` is the page's. */
export function useConversations(chat: Chat) {
  return useObservable(chat.conversations);
}

/** A timeline that is open for as long as the component is there. */
export function useTimeline(chat: Chat, conversationId: string): TimelineState | undefined {
  const [state, setState] = useState<TimelineState>();
  useEffect(() => {
    const timeline = chat.openTimeline(conversationId);
    const show = () => setState(timeline.get());
    show();
    const stop = timeline.subscribe(show);
    return () => {
      stop();
      timeline.close();
    };
  }, [chat, conversationId]);
  return state;
}
