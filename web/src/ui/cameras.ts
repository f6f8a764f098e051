/** Cameras of this device, and what to do where there are too few. */

import { InputError } from "../image/picture";

/** Ask for permission and list the cameras; at least two. */
export async function findCameras(): Promise<MediaDeviceInfo[]> {
  if (!navigator.mediaDevices) {
    throw new InputError("This page has no access to cameras.", "Open it over https:// or from localhost.");
  }
  try {
    stopStream(await navigator.mediaDevices.getUserMedia({ video: true }));
  } catch {
    throw new InputError("No camera can be used.", "Connect a camera, and allow this page to use it.");
  }
  const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
  if (cameras.length < 2) {
    throw new InputError(
      "Only one camera was found.",
      "Connect a second one: an infrared and a visible camera are needed.",
    );
  }
  return cameras;
}

export async function openCamera(deviceId: string): Promise<MediaStream> {
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { deviceId: { exact: deviceId } } });
  } catch {
    throw new InputError("The camera cannot be opened.", "Close other programs that use it, and try again.");
  }
}

export function stopStream(stream: MediaStream | null): void {
  for (const track of stream?.getTracks() ?? []) track.stop();
}
