export function Conversations({ open }: { open: string | undefined; details: boolean }) {
  return <p>{open}</p>;
}
