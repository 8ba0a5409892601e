/** How often typing is said again while it lasts, and how long after the last input it ends, in milliseconds (rules of the protocol). */
const every = 3_000;
const lasts = 3_000;

/** Turns the input of a user into what is said of it: that it began, every three seconds that it goes on, and that it has ended. */
export class Typist {
  readonly #say: (conversationId: string, typing: boolean) => void;
  readonly #typing = new Map<string, { said: number; timer: ReturnType<typeof setTimeout> }>();

  constructor(say: (conversationId: string, typing: boolean) => void) {
    this.#say = say;
  }

  /** There was input. */
  input(conversationId: string): void {
    const now = Date.now();
    const before = this.#typing.get(conversationId);
    clearTimeout(before?.timer);
    const again = !before || now - before.said >= every;
    const timer = setTimeout(() => this.end(conversationId), lasts);
    this.#typing.set(conversationId, { said: again ? now : before.said, timer });
    if (again) {
      this.#say(conversationId, true);
    }
  }

  /** The input was given up; a message that was sent says so by itself: `silently`. */
  end(conversationId: string, silently = false): void {
    const before = this.#typing.get(conversationId);
    if (before) {
      clearTimeout(before.timer);
      this.#typing.delete(conversationId);
      if (!silently) {
        this.#say(conversationId, false);
      }
    }
  }

  close(): void {
    for (const { timer } of this.#typing.values()) {
      clearTimeout(timer);
    }
    this.#typing.clear();
  }
}
