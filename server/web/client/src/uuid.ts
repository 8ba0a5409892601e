let lastTime = 0;
let counter = 0;

/** Makes a UUID of version 7 (RFC 9562): those made here sort in the order of their making, also within a millisecond (its method 1, with a counter of 12 bits). */
export function uuid7(now = Date.now()): string {
  if (now > lastTime) {
    lastTime = now;
    counter = Math.floor(Math.random() * 0x400); // room to count on
  } else if (++counter > 0xfff) {
    lastTime++;
    counter = 0;
  }
  const b = crypto.getRandomValues(new Uint8Array(16));
  const view = new DataView(b.buffer);
  view.setUint32(0, Math.floor(lastTime / 0x10000));
  view.setUint16(4, lastTime % 0x10000);
  view.setUint16(6, 0x7000 | counter);
  view.setUint8(8, 0x80 | (view.getUint8(8) & 0x3f));
  const hex = Array.from(b, (x) => x.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
