// Lets the candidate choose a camera and a microphone, where there is more than one.

import { TEXTS } from "./candidate-texts.js";
import { chooseDevice } from "./interview-chosen-devices.js";

/** Fill the lists of `root` with the devices, the ones of `stream` chosen; `onChoose` opens another. */
export async function offerDevices(root, stream, onChoose) {
  const devices = await navigator.mediaDevices.enumerateDevices().catch(() => []);
  const used = new Set(stream.getTracks().map((track) => track.getSettings().deviceId));
  for (const list of root.querySelectorAll("[data-devices]")) {
    const { devices: kind } = list.dataset;
    const name = kind === "videoinput" ? TEXTS.camera : TEXTS.microphone;
    const options = devices
      .filter((device) => device.kind === kind && device.deviceId)
      .map(({ deviceId, label }, index) => {
        const isUsed = used.has(deviceId);
        return new Option(label || `${name} ${index + 1}`, deviceId, isUsed, isUsed);
      });
    list.replaceChildren(...options);
    list.closest(".field").hidden = options.length < 2;
    list.onchange = () => {
      chooseDevice(kind, list.selectedOptions[0]);
      onChoose();
    };
  }
}
