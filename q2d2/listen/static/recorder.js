// The microphone as samples: one channel, uncompressed, without the clean-up that browsers do for calls.

const RAW = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
const REASONS = {
  NotAllowedError: "The browser does not let this page use the microphone; allow it, and try again.",
  NotFoundError: "There is no microphone.",
  NotReadableError: "The microphone is used by another program.",
};

/** Browsers hide the microphone from pages that come over plain http. */
export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode);

/** A recording that goes on until `stop`. */
export class Recorder {
  #stream;
  #context;
  #blocks = [];
  #length = 0;

  /** `onLevel(peak, seconds)` after each block. Throws an Error that says why there is nothing to record. */
  static async start(onLevel) {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: RAW }).catch((error) => {
      throw new Error(REASONS[error.name] ?? `The microphone does not start: ${error.message}`);
    });
    const context = new AudioContext();
    await context.audioWorklet.addModule(new URL("./recorder_worklet.js", import.meta.url));
    return new Recorder(stream, context, onLevel);
  }

  constructor(stream, context, onLevel) {
    this.#stream = stream;
    this.#context = context;
    const tap = new AudioWorkletNode(context, "tap", { numberOfOutputs: 0 });
    tap.port.onmessage = ({ data }) => {
      this.#blocks.push(data);
      this.#length += data.length;
      const peak = data.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      onLevel(peak, this.#length / context.sampleRate);
    };
    context.createMediaStreamSource(stream).connect(tap);
  }

  /** Ends it: all samples so far, and their rate. */
  async stop() {
    this.#stream.getTracks().forEach((track) => track.stop());
    const samples = new Float32Array(this.#length);
    let at = 0;
    for (const block of this.#blocks) {
      if (at + block.length > samples.length) break; // came in the meantime
      samples.set(block, at);
      at += block.length;
    }
    await this.#context.close();
    return { samples, sampleRateHz: this.#context.sampleRate };
  }
}
