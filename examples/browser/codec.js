// Speech to tokens and back in a browser: the graphs that `q2d2 export onnx` writes, under onnxruntime-web.
//
// Knows arrays of samples and tokens, nothing of the page. Everything runs on one thread of WebAssembly, so that the
// page needs no special headers from its server; `proxy` keeps that thread apart from the one that draws.

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("./node_modules/onnxruntime-web/dist/", import.meta.url).href;
ort.env.wasm.numThreads = 1;
ort.env.wasm.proxy = true;
ort.env.logLevel = "error";

export class Codec {
  /** The codec in a folder of `q2d2 export onnx`; `onProgress` is called with the share that has arrived, 0 to 1. */
  static async load(folder, onProgress = () => {}) {
    const description = await (await fetched(`${folder}/q2d2.json`)).json();
    const parts = ["encoder", "decoder"];
    const shares = parts.map(() => 0);
    const sessions = await Promise.all(
      parts.map(async (name, part) => {
        const bytes = await download(`${folder}/${name}.onnx`, (share) => {
          shares[part] = share;
          onProgress((shares[0] + shares[1]) / 2);
        });
        return ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], logSeverityLevel: 3 });
      }),
    );
    return new Codec(description, ...sessions);
  }

  constructor(description, encoder, decoder) {
    Object.assign(this, {
      name: description.model,
      weights: description.weights,
      sampleRateHz: description.sample_rate_hz,
      hop: description.hop,
      points: description.points,
      rates: description.rates,
    });
    this.encoder = encoder;
    this.decoder = decoder;
  }

  get framesPerSecond() {
    return this.sampleRateHz / this.hop;
  }

  /** Bits of one frame of the first so many pairs: each index is one of so many points. */
  bitsPerFrame(pairs) {
    return this.points.slice(0, pairs).reduce((sum, points) => sum + Math.log2(points), 0);
  }

  /** Mono Float32Array at `sampleRateHz` -> { data: BigInt64Array, frames }, all pairs of a frame side by side. */
  async encode(samples) {
    const wav = new ort.Tensor("float32", samples, [1, samples.length]);
    const { indices } = await this.encoder.run({ wav });
    return { data: indices.data, frames: indices.dims[1] };
  }

  /** The first so many pairs of these tokens -> Float32Array of frames * hop samples. */
  async decode({ data, frames }, pairs) {
    const feeds = {
      indices: new ort.Tensor("int64", data.slice(), [1, frames, this.points.length]), // the proxy takes it away
      num_pairs: new ort.Tensor("int64", BigInt64Array.of(BigInt(pairs)), [1]),
    };
    return (await this.decoder.run(feeds)).wav.data;
  }
}

async function fetched(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} is not there (${response.status})`);
  return response;
}

async function download(url, onShare) {
  const response = await fetched(url);
  const total = Number(response.headers.get("Content-Length"));
  const parts = [];
  let received = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    received += value.length;
    if (total) onShare(received / total);
  }
  onShare(1);
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}
