// Listens to the microphone: its loudness, and whether anything was heard at all.

const MEASURE_INTERVAL_MS = 100;
const SAMPLES_PER_MEASUREMENT = 4096; // 85 ms at 48 kHz: no word falls between two measurements
const HEARD_LOUDNESS = 0.004; // root mean square of samples from -1 to 1; a quiet voice is louder
const MIN_HEARD_MEASUREMENTS = 3; // a click of the mouse is shorter
const MIN_MEASUREMENTS = 10; // fewer say nothing about silence

/**
 * Measure the microphone of `stream` until `stop()`, and show its loudness in the meter of `root`.
 * `onMeasured` is called after each measurement. `silentSeconds()` is the time since a sound;
 * `isHeard()` and `isSilent()` say whether enough was heard since `restart()`. Nothing is silent
 * without measurements, as in a browser without Web Audio.
 */
export function listen(root, stream, onMeasured = () => {}) {
  const meter = root.querySelector("[data-level]");
  const samples = new Float32Array(SAMPLES_PER_MEASUREMENT);
  let measured = 0;
  let heard = 0;
  let silent = 0; // measurements since something was heard
  let context = null;
  let analyser = null;
  let timer = null;

  function measure() {
    if (!stream.active) return stop();
    // A suspended context gives silence, whatever the microphone gives.
    if (context.state !== "running") return void context.resume().catch(() => {});
    analyser.getFloatTimeDomainData(samples);
    const sumOfSquares = samples.reduce((sum, value) => sum + value * value, 0);
    const loudness = Math.sqrt(sumOfSquares / samples.length);
    measured++;
    silent++;
    if (loudness >= HEARD_LOUDNESS) {
      heard++;
      silent = 0;
    }
    meter.value = Math.min(1, loudness * 4);
    onMeasured();
  }

  function restart() {
    measured = heard = silent = 0;
  }

  function stop() {
    clearInterval(timer);
    if (context?.state !== "closed") context?.close().catch(() => {});
  }

  try {
    context = new AudioContext();
    analyser = new AnalyserNode(context, { fftSize: SAMPLES_PER_MEASUREMENT });
    context.createMediaStreamSource(stream).connect(analyser);
    timer = setInterval(measure, MEASURE_INTERVAL_MS);
  } catch {
    meter.closest(".level").hidden = true; // recording works without it
    stop();
  }
  return {
    restart,
    stop,
    isHeard: () => heard >= MIN_HEARD_MEASUREMENTS,
    silentSeconds: () => (silent * MEASURE_INTERVAL_MS) / 1000,
    isSilent: () => measured >= MIN_MEASUREMENTS && heard < MIN_HEARD_MEASUREMENTS,
  };
}
