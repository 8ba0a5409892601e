export default function Details({ id }: { id: string }) {
  return <p>{id}</p>;
}
