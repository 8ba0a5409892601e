/** Whether this device has a picture for an emoji: then its colours are its own, whatever it is drawn with. */
export function drawsAsOne(emoji: string): boolean {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  if (context === null) return false;
  const { canvas } = context;
  canvas.width = 20;
  canvas.height = 20;
  context.font = "16px sans-serif";
  context.textBaseline = "top";
  const drawn = (colour: string) => {
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = colour;
    context.fillText(emoji, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height).data;
  };
  const blue = drawn("#00f");
  const red = drawn("#f00");
  // Nothing at all is no picture either.
  return blue.some((value) => value !== 0) && blue.every((value, at) => value === red[at]);
}
