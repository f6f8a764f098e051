/** Geometry of the viewer: where the image lies in it. */

export interface View {
  /** Screen pixels of one image pixel. */
  readonly zoom: number;
  /** Where the image's top left corner lies, in screen pixels. */
  readonly x: number;
  readonly y: number;
}

interface Size {
  readonly width: number;
  readonly height: number;
}

const LARGEST = 32;

/** The whole image, centered. */
export function fitted(image: Size, frame: Size): View {
  const zoom = Math.min(frame.width / image.width, frame.height / image.height);
  return { zoom, x: (frame.width - zoom * image.width) / 2, y: (frame.height - zoom * image.height) / 2 };
}

/** Zoomed by a factor so that the point under (x, y) stays there. */
export function zoomed(view: View, factor: number, x: number, y: number, smallest: number): View {
  const zoom = Math.min(LARGEST, Math.max(Math.min(smallest, 1), view.zoom * factor));
  const k = zoom / view.zoom;
  return { zoom, x: x - k * (x - view.x), y: y - k * (y - view.y) };
}

export function moved(view: View, dx: number, dy: number): View {
  return { ...view, x: view.x + dx, y: view.y + dy };
}

/** Never lost: at least a corner of the image stays in the frame. */
export function kept(view: View, image: Size, frame: Size): View {
  const within = (value: number, length: number, side: number) =>
    Math.min(side - side / 8, Math.max(side / 8 - length, value));
  return {
    ...view,
    x: within(view.x, image.width * view.zoom, frame.width),
    y: within(view.y, image.height * view.zoom, frame.height),
  };
}
