import { useState } from "react";
import { explain } from "../chat.ts";

export interface Task {
  readonly busy: boolean;
  /** Why it did not work the last time, for people. */
  readonly problem: string | undefined;
  /** Does it, unless it is being done; answers whether it worked. */
  run(work: () => Promise<void>): Promise<boolean>;
}

/** Something that a button asks for: that it goes on, and why it failed. */
export function useTask(): Task {
  const [state, setState] = useState<{ busy: boolean; problem?: string }>({ busy: false });
  return {
    busy: state.busy,
    problem: state.problem,
    async run(work) {
      if (state.busy) {
        return false;
      }
      setState({ busy: true });
      try {
        await work();
        setState({ busy: false });
        return true;
      } catch (error) {
        setState({ busy: false, problem: explain(error) });
        return false;
      }
    },
  };
}
