/** One conversation's pane. */
export default function Conversation({ id }: { id: string; at?: number }) {
  return <p>{id}</p>;
}
