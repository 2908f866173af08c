// Samples as a WAV file: 16 bits, one channel.

const HEADER_BYTES = 44;

/** @param {Float32Array} samples full scale at -1 and 1; beyond that they are limited */
export function wavFile(samples, sampleRateHz) {
  const bytes = 2 * samples.length;
  const view = new DataView(new ArrayBuffer(HEADER_BYTES + bytes));
  let at = 0;
  const text = (letters) => [...letters].forEach((letter) => view.setUint8(at++, letter.charCodeAt(0)));
  const short = (value) => (view.setUint16(at, value, true), (at += 2));
  const long = (value) => (view.setUint32(at, value, true), (at += 4));
  text("RIFF");
  long(HEADER_BYTES - 8 + bytes);
  text("WAVEfmt ");
  long(16); // bytes of what follows, up to "data"
  short(1); // PCM
  short(1); // channels
  long(sampleRateHz);
  long(2 * sampleRateHz); // bytes per second
  short(2); // bytes per sample
  short(16); // bits
  text("data");
  long(bytes);
  for (const sample of samples) {
    view.setInt16(at, Math.max(-32768, Math.min(32767, Math.round(32768 * sample))), true);
    at += 2;
  }
  return new Blob([view], { type: "audio/wav" });
}
