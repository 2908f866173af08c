// The microphone as samples: one channel, uncompressed, without the clean-up that browsers do for calls.

const RAW = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
const REASONS = {
  NotAllowedError: "The browser does not let this page use the microphone; allow it, and try again.",
  NotFoundError: "There is no microphone.",
  NotReadableError: "The microphone is used by another program.",
};

/** Browsers hide the microphone from pages that come over plain http. */
export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode);

/** Switches the microphone off. */
function release(stream, context) {
  stream.getTracks().forEach((track) => track.stop());
  context.close().catch(() => {}); // it is closed already
}

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
    try {
      await context.audioWorklet.addModule(new URL("./recorder_worklet.js", import.meta.url));
      return new Recorder(stream, context, onLevel);
    } catch (error) {
      release(stream, context);
      throw new Error(`The recorder does not start: ${error.message}`);
    }
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
  stop() {
    release(this.#stream, this.#context);
    const samples = new Float32Array(this.#length);
    let at = 0;
    for (const block of this.#blocks) {
      samples.set(block, at);
      at += block.length;
    }
    return { samples, sampleRateHz: this.#context.sampleRate };
  }
}
