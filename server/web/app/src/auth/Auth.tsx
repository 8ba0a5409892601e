export default function Auth({ reason }: { reason?: "revoked" | "expired" | undefined }) {
  return <p>{reason}</p>;
}
