// The demo page: takes a clip from a file, the microphone or the sample, and follows it until it is done.

import { ask } from "./ask.js";
import { Recorder, canRecord } from "./recorder.js";
import { Results } from "./results.js";
import { wavFile } from "./wav.js";

const POLL_MS = 250;
const part = (id) => document.getElementById(id);
const { dataset } = document.querySelector("main");
const mostBytes = Number(dataset.mostBytes);
const longestS = Number(dataset.longestS);

const results = new Results(sayError);
let recorder = null;
let isBusy = false;

function say(text) {
  part("status").textContent = text;
}

function sayError(text) {
  part("error").textContent = text;
}

function lock(isLocked) {
  isBusy = isLocked;
  for (const id of ["file", "sample", "rates"]) part(id).disabled = isLocked;
  part("record").disabled = isLocked || !canRecord();
}

/** Something long, with the controls locked; what goes wrong is said. */
async function busily(work) {
  if (isBusy) return;
  lock(true);
  sayError("");
  try {
    await work();
  } catch (error) {
    say("");
    sayError(error.message);
  } finally {
    part("progress").hidden = true;
    lock(false);
  }
}

function chosenRates() {
  const rates = [...document.querySelectorAll("[name=rate]:checked")].map(({ value }) => value);
  if (!rates.length) throw new Error("Choose at least one rate.");
  return rates.join(",");
}

/** Sends a clip (nothing for the sample), and shows it when it is done. */
function send(path, name, body) {
  return busily(async () => {
    const query = new URLSearchParams({ name, rates: chosenRates() });
    if (body && body.size > mostBytes) {
      throw new Error(`${name} is larger than ${mostBytes / 2 ** 20} MiB: send a part of it.`);
    }
    part("progress").removeAttribute("value");
    part("progress").hidden = false;
    say("sending");
    const headers = { "x-csrf-token": document.querySelector('meta[name="csrf-token"]').content };
    const { id } = await (await ask(`${path}?${query}`, { method: "POST", body, headers })).json();
    await finished(`clips/${id}`);
    await results.show(`clips/${id}`);
    say("");
  });
}

async function finished(url) {
  for (;;) {
    const { state, done, step, error } = await (await ask(url)).json();
    if (state === "failed") throw new Error(error);
    part("progress").value = done;
    if (part("status").textContent !== step) say(step); // or it would be read out again and again
    if (state === "done") return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function record() {
  if (recorder) return stopRecording();
  await busily(async () => {
    chosenRates(); // while there is still nothing to lose
    results.pause();
    recorder = await Recorder.start((peak, seconds) => {
      part("level").value = peak;
      part("recorded").textContent = `${seconds.toFixed(1)} s`;
      if (seconds >= longestS) stopRecording();
    });
  });
  if (!recorder) return;
  lock(true);
  isBusy = false; // all is locked but what stops it
  part("record").disabled = false;
  part("record").textContent = "Stop";
  part("recording").hidden = false;
  say("recording");
}

async function stopRecording() {
  if (!recorder) return; // stopped by the clock and by hand at once
  const { samples, sampleRateHz } = recorder.stop();
  recorder = null;
  part("record").textContent = "Record";
  part("recording").hidden = true;
  if (samples.length) return send("clips", "recording.wav", wavFile(samples, sampleRateHz));
  lock(false);
  say("");
  sayError("Nothing was recorded.");
}

function sendFile(file) {
  if (file && !recorder) send("clips", file.name, file);
}

part("file").addEventListener("change", ({ target }) => {
  sendFile(target.files[0]);
  target.value = ""; // the same file again is a change as well
});
part("record").addEventListener("click", record);
part("sample").addEventListener("click", () => send("clips/sample", ""));
part("no-microphone").hidden = canRecord();
part("record").disabled = !canRecord();

// anywhere on the page: a file that misses the zone should not take its place
for (const type of ["dragenter", "dragover"]) {
  document.addEventListener(type, (event) => {
    event.preventDefault();
    part("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", ({ relatedTarget }) => {
  if (!relatedTarget) part("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  part("drop").classList.remove("over");
  sendFile(event.dataTransfer.files[0]);
});
