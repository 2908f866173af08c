// Several recordings of equal length that play in step: one is heard, and a switch does not jump.

const FADE_S = 0.005; // raised cosines that add up to one: a switch between equal sounds is not heard at all
const STEPS = 33;
const LONGEST_MS = 60000; // for a sound to be fetched
const RISE = Float32Array.from({ length: STEPS }, (_, i) => 0.5 - 0.5 * Math.cos((Math.PI * i) / (STEPS - 1)));
const FALL = RISE.map((value) => 1 - value);

/** Raised cosines on both ends, of so many samples each. */
function fadeEnds(samples, length) {
  for (let i = 0; i < Math.min(length, samples.length / 2); i++) {
    const share = 0.5 - 0.5 * Math.cos((Math.PI * (i + 0.5)) / length);
    samples[i] *= share;
    samples[samples.length - 1 - i] *= share;
  }
}

/**
 * Plays AudioBuffers of equal length at once and again and again, through a gain each.
 * A switch is a cross-fade, or with `fadesOut` silence between two fades: that is how BS.1534-3 wants it, and the ends
 * of what is repeated as well, so that no sound is ever heard together with another one and no jump clicks.
 * Event "change": playing, position, what is heard or the part that is played was changed by a call.
 */
export class Player extends EventTarget {
  /** @param {BaseAudioContext} context where it plays; an OfflineAudioContext renders what would be heard */
  constructor(context = new AudioContext(), { fadesOut = false } = {}) {
    super();
    this.context = context;
    this.fadesOut = fadesOut;
    this.tracks = []; // {buffer, gain, source}, and what is repeated of it: loop
    this.heard = 0;
    this.playing = false;
    this.region = null; // [start, end] in seconds, or null for all
    this.offset = 0; // where playing began or will begin
    this.startedAt = 0; // in the context's time
  }

  /** @param {AudioBuffer[]} buffers */
  setBuffers(buffers) {
    this.pause();
    this.tracks.forEach(({ gain }) => gain.disconnect());
    this.tracks = buffers.map((buffer, index) => {
      const gain = this.context.createGain();
      gain.gain.value = index === this.heard ? 1 : 0;
      gain.connect(this.context.destination);
      return { buffer, gain, source: null };
    });
    this.offset = 0;
    this.#cut();
    this.#changed();
  }

  /** Fetches and decodes; `onProgress(done, all)` after each. Throws an Error that says what could not be fetched. */
  async load(urls, onProgress = () => {}) {
    let done = 0;
    const buffers = await Promise.all(
      urls.map(async (url, index) => {
        const answer = await fetch(url, { signal: AbortSignal.timeout(LONGEST_MS) });
        if (!answer.ok) throw new Error(`sound ${index + 1} of ${urls.length} could not be fetched (${answer.status})`);
        const buffer = await this.context.decodeAudioData(await answer.arrayBuffer());
        onProgress(++done, urls.length);
        return buffer;
      }),
    );
    this.setBuffers(buffers);
  }

  get duration() {
    return this.tracks.length ? Math.min(...this.tracks.map(({ buffer }) => buffer.duration)) : 0;
  }

  get start() {
    return this.region ? this.region[0] : 0;
  }

  get end() {
    return this.region ? this.region[1] : this.duration;
  }

  /** Where it is, in seconds. */
  get position() {
    if (!this.playing) return this.offset;
    const at = this.offset + Math.max(0, this.context.currentTime - this.startedAt);
    if (at < this.end) return at;
    return this.start + ((at - this.start) % (this.end - this.start));
  }

  play() {
    if (this.playing || !this.tracks.length) return;
    this.context.resume().catch(() => {}); // whether it does is seen from its state
    if (this.offset >= this.end || this.offset < this.start) this.offset = this.start;
    this.startedAt = this.context.currentTime;
    for (const track of this.tracks) {
      const source = this.context.createBufferSource();
      source.buffer = track.loop;
      source.loop = true;
      source.connect(track.gain);
      source.start(this.startedAt, this.offset - this.start);
      track.source = source;
    }
    this.playing = true;
    this.#changed();
  }

  pause() {
    if (!this.playing) return;
    const at = this.position;
    this.#stop();
    this.offset = at;
    this.#changed();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  /** Go to a place, in seconds. */
  seek(seconds) {
    this.#restarting(() => (this.offset = Math.min(this.duration, Math.max(0, seconds))));
  }

  /** Hear another recording from now on, at the same place. */
  hear(index) {
    if (index === this.heard || !this.tracks[index]) return;
    const now = this.context.currentTime;
    this.#fade(this.tracks[this.heard].gain.gain, FALL, 0, now);
    this.#fade(this.tracks[index].gain.gain, RISE, 1, this.fadesOut ? now + FADE_S : now);
    this.heard = index;
    this.#changed();
  }

  /** Play [start, end] again and again; null: all of it. */
  setRegion(region) {
    this.#restarting(() => {
      this.region = region;
      this.#cut();
      if (this.offset < this.start || this.offset >= this.end) this.offset = this.start;
    });
  }

  #restarting(change) {
    const wasPlaying = this.playing;
    if (wasPlaying) {
      const at = this.position;
      this.#stop();
      this.offset = at;
    }
    change();
    if (wasPlaying) this.play();
    else this.#changed();
  }

  #stop() {
    this.playing = false;
    for (const track of this.tracks) {
      const source = track.source;
      track.source = null;
      source?.stop();
      source?.disconnect();
    }
  }

  /** What is repeated: the part of every sound. */
  #cut() {
    for (const track of this.tracks) {
      const { numberOfChannels, sampleRate, length } = track.buffer;
      const from = Math.round(this.start * sampleRate);
      const to = Math.min(length, Math.round(this.end * sampleRate));
      track.loop = this.context.createBuffer(numberOfChannels, to - from, sampleRate);
      for (let channel = 0; channel < numberOfChannels; channel++) {
        const samples = track.buffer.getChannelData(channel).slice(from, to);
        if (this.fadesOut) fadeEnds(samples, Math.round(FADE_S * sampleRate));
        track.loop.copyToChannel(samples, channel);
      }
    }
  }

  #fade(gain, curve, target, at) {
    gain.cancelScheduledValues(this.context.currentTime);
    if (this.playing) gain.setValueCurveAtTime(curve, at, FADE_S);
    else gain.value = target;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
