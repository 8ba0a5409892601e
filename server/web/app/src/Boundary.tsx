import { Component, type ReactNode } from "react";
import { SignedOut } from "./chat.ts";
import { Button } from "./ui/Button.tsx";
import { Empty } from "./ui/Empty.tsx";

/** Shows that something in the program itself has failed, instead of an empty window. */
export class Boundary extends Component<{ children: ReactNode }, { error?: unknown }> {
  override state: { error?: unknown } = {};

  static getDerivedStateFromError(error: unknown) {
    return { error };
  }

  override render() {
    const { error } = this.state;
    if (error === undefined) {
      return this.props.children;
    }
    if (error instanceof SignedOut) {
      return null; // the screen changes anyhow
    }
    return (
      <Empty toad title="This did not work">
        <p>Something in this page has failed. Nothing that you wrote is lost.</p>
        <Button look="primary" onClick={() => location.reload()}>
          Load the page again
        </Button>
      </Empty>
    );
  }
}
