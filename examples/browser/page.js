// The page: what is clicked, and what is shown. Sound is in audio.js, the codec in codec.js.

import { Recorder, readAudio, wavFile } from "./audio.js";
import { Codec } from "./codec.js";

const LONGEST_S = 120; // more would take a phone too much memory at once
const SHORTEST_S = 0.1;
const SHOWN_FRAMES = 8;

const part = (id) => document.getElementById(id);

let codec;
let recorder = null;
let clip = null; // { name, samples, tokens }
let saved = null; // what the button downloads

function say(text, isError = false) {
  part("status").textContent = text;
  part("status").classList.toggle("error", isError);
  document.body.dataset.state = isError ? "error" : "";
}

function lock(isLocked) {
  for (const id of ["file", "record", "rates"]) part(id).disabled = isLocked;
}

/** Run something long with the controls locked; what goes wrong is said in words. */
async function busy(work) {
  lock(true);
  part("progress").hidden = false;
  try {
    await work();
  } catch (error) {
    console.error(error);
    say(error.message, true);
  } finally {
    part("progress").hidden = true;
    if (codec) lock(false);
  }
}

const waiting = () => part("progress").removeAttribute("value");

async function timed(work) {
  const start = performance.now();
  return [await work(), (performance.now() - start) / 1000];
}

async function load() {
  try {
    codec = await Codec.load("./model", (share) => (part("progress").value = share));
  } catch (error) {
    throw new Error(`The model does not load: ${error.message}. The README beside this page says how to make it.`);
  }
  for (const [name, pairs] of Object.entries(codec.rates)) {
    const kbps = (codec.framesPerSecond * codec.bitsPerFrame(pairs)) / 1000;
    const label = document.createElement("label");
    label.className = "choice";
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "rate", value: name });
    radio.checked = pairs === Math.max(...Object.values(codec.rates));
    radio.addEventListener("change", () => clip && busy(decode));
    label.append(radio, `${name}: ${kbps.toFixed(2)} kbit/s`);
    part("rates").append(label);
  }
  say("Ready. Choose a file, or record something.");
}

const chosenRate = () => document.querySelector("input[name=rate]:checked").value;

async function encode(name, samples) {
  const longest = LONGEST_S * codec.sampleRateHz;
  if (samples.length < SHORTEST_S * codec.sampleRateHz) {
    throw new Error(`${name} holds next to nothing: it is shorter than ${SHORTEST_S} s.`);
  }
  const note = samples.length > longest ? ` The first ${LONGEST_S} s of it, that is.` : "";
  samples = samples.slice(0, longest);
  say("Encoding");
  waiting();
  const [tokens, seconds] = await timed(() => codec.encode(samples.slice()));
  clip = { name, samples, tokens, note, encodeS: seconds };
  replaceAudio("original", samples);
  await decode();
}

async function decode() {
  const name = chosenRate();
  const pairs = codec.rates[name];
  say("Decoding");
  waiting();
  const [wav, seconds] = await timed(() => codec.decode(clip.tokens, pairs));
  replaceAudio("decoded", wav.subarray(0, clip.samples.length));
  show(name, pairs);
  const durationS = clip.samples.length / codec.sampleRateHz;
  const speed = (taken) => `${taken.toFixed(2)} s (${(durationS / taken).toFixed(0)} x real time)`;
  say(`${clip.name}: encoded in ${speed(clip.encodeS)}, decoded in ${speed(seconds)}.${clip.note}`);
  document.body.dataset.state = "done";
}

function replaceAudio(id, samples) {
  URL.revokeObjectURL(part(id).src);
  part(id).src = URL.createObjectURL(wavFile(samples, codec.sampleRateHz));
}

function show(name, pairs) {
  const { data, frames } = clip.tokens;
  const all = codec.points.length;
  const durationS = clip.samples.length / codec.sampleRateHz;
  const bits = frames * codec.bitsPerFrame(pairs);
  const row = (frame) => Array.from(data.subarray(frame * all, frame * all + pairs), Number);
  saved = {
    model: codec.name,
    weights: codec.weights,
    rate: name,
    sample_rate_hz: codec.sampleRateHz,
    num_samples: clip.samples.length,
    points: codec.points.slice(0, pairs),
    indices: Array.from({ length: frames }, (_, frame) => row(frame)),
  };
  const numbers = {
    Duration: `${durationS.toFixed(2)} s`,
    Frames: frames.toLocaleString("en"),
    "Tokens per second": (codec.framesPerSecond * pairs).toFixed(0),
    Bits: Math.ceil(bits).toLocaleString("en"),
    "Bits per second": (bits / durationS).toFixed(0),
    "Of 16-bit PCM": `1/${((16 * clip.samples.length) / bits).toFixed(0)}`,
  };
  const entry = ([term, value]) => [element("dt", term), element("dd", value)];
  part("numbers").replaceChildren(
    ...Object.entries(numbers).map((pair) => {
      const group = document.createElement("div");
      group.append(...entry(pair));
      return group;
    }),
  );
  const shown = Math.min(SHOWN_FRAMES, frames);
  const head = document.createElement("tr");
  head.append(element("th", "frame"), ...saved.points.map((_, pair) => element("th", `pair ${pair + 1}`)));
  const rows = saved.indices.slice(0, shown).map((indices, frame) => {
    const line = document.createElement("tr");
    line.append(element("th", frame), ...indices.map((index) => element("td", index)));
    return line;
  });
  part("tokens").replaceChildren(element("caption", `The first ${shown} of ${frames} frames`), head, ...rows);
  paint(saved.indices, saved.points);
  part("result").hidden = false;
}

function element(tag, text) {
  return Object.assign(document.createElement(tag), { textContent: text });
}

function paint(indices, points) {
  const canvas = Object.assign(part("picture"), { width: indices.length, height: points.length });
  const context = canvas.getContext("2d");
  indices.forEach((frame, x) =>
    frame.forEach((index, y) => {
      context.fillStyle = `hsl(${215 + (120 * index) / points[y]} 60% ${25 + (50 * index) / points[y]}%)`;
      context.fillRect(x, y, 1, 1);
    }),
  );
}

part("file").addEventListener("change", ({ target }) => {
  const [file] = target.files;
  if (!file) return;
  busy(async () => {
    say(`Reading ${file.name}`);
    waiting();
    let samples;
    try {
      samples = await readAudio(file, codec.sampleRateHz);
    } catch {
      throw new Error(`This browser cannot read ${file.name} as audio. Try a WAV, an MP3 or an Ogg file.`);
    }
    await encode(file.name, samples);
  });
  target.value = ""; // so that the same file can be chosen again
});

part("record").addEventListener("click", async () => {
  if (recorder) {
    const running = recorder;
    recorder = null;
    part("record").textContent = "Record";
    await busy(async () => encode("The recording", await running.stop(codec.sampleRateHz)));
    return;
  }
  lock(true);
  try {
    recorder = await Recorder.start();
    part("record").textContent = "Stop";
    part("record").disabled = false; // the rest stays locked until it is pressed
    part("record").focus();
    say("Recording. Press Stop when you have said it.");
  } catch (error) {
    lock(false);
    const why = error.name === "NotAllowedError" ? "this page was not allowed to use it" : error.message;
    say(`The microphone cannot be used: ${why}.`, true);
  }
});

part("download").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(saved)], { type: "application/json" }));
  link.download = `${saved.model}-${saved.rate}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
});

busy(load);
