// Audio in a browser as mono Float32Arrays: from files, from the microphone, and as WAV. Knows nothing of codecs.

/** Any file that the browser can decode -> mono samples at this rate. */
export async function readAudio(blob, sampleRateHz) {
  // a context decodes to its own rate, whatever the file's is
  const context = new OfflineAudioContext(1, 1, sampleRateHz);
  return mono(await context.decodeAudioData(await blob.arrayBuffer()));
}

function mono(buffer) {
  const sum = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    buffer.getChannelData(channel).forEach((value, at) => (sum[at] += value / buffer.numberOfChannels));
  }
  return sum;
}

async function resampled(samples, fromHz, toHz) {
  if (fromHz === toHz) return samples;
  const length = Math.max(1, Math.round((samples.length * toHz) / fromHz));
  const context = new OfflineAudioContext(1, length, toHz);
  const source = context.createBufferSource();
  source.buffer = new AudioBuffer({ length: samples.length, sampleRate: fromHz, numberOfChannels: 1 });
  source.buffer.copyToChannel(samples, 0);
  source.connect(context.destination);
  source.start();
  return mono(await context.startRendering());
}

/** The microphone, uncompressed and as it is: the browser's own clean-up for calls is switched off. */
export class Recorder {
  static async start() {
    const constraints = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: constraints });
    const context = new AudioContext();
    await context.audioWorklet.addModule(new URL("./recorder.js", import.meta.url));
    return new Recorder(stream, context);
  }

  constructor(stream, context) {
    this.stream = stream;
    this.context = context;
    this.blocks = [];
    const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => this.blocks.push(data);
    context.createMediaStreamSource(stream).connect(node);
  }

  /** Everything since the start, mono at this rate. */
  async stop(sampleRateHz) {
    this.stream.getTracks().forEach((track) => track.stop());
    const fromHz = this.context.sampleRate;
    await this.context.close();
    const samples = new Float32Array(this.blocks.reduce((sum, block) => sum + block.length, 0));
    let at = 0;
    for (const block of this.blocks) {
      samples.set(block, at);
      at += block.length;
    }
    return resampled(samples, fromHz, sampleRateHz);
  }
}

/** Mono samples -> a WAV file, 16 bits. */
export function wavFile(samples, sampleRateHz) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, sampleRateHz, true);
  view.setUint32(28, 2 * sampleRateHz, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, at) => {
    view.setInt16(44 + 2 * at, Math.max(-32768, Math.min(32767, Math.round(32768 * value))), true);
  });
  return new Blob([view], { type: "audio/wav" });
}
