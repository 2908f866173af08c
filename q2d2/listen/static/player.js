// Several recordings of equal length that play in step: one is heard, and a switch neither jumps nor leaves a gap.

const FADE_S = 0.005; // raised cosines that add up to one: a switch between equal sounds is not heard at all
const STEPS = 33;
const RISE = Float32Array.from({ length: STEPS }, (_, i) => 0.5 - 0.5 * Math.cos((Math.PI * i) / (STEPS - 1)));
const FALL = RISE.map((value) => 1 - value);

/**
 * Plays AudioBuffers of equal length at once, through a gain each.
 * Events: "change" (playing, position, what is heard or the loop was changed by a call), "end".
 */
export class Player extends EventTarget {
  /** @param {BaseAudioContext} context where it plays; an OfflineAudioContext renders what would be heard */
  constructor(context = new AudioContext()) {
    super();
    this.context = context;
    this.volume = context.createGain();
    this.volume.connect(context.destination);
    this.tracks = []; // {buffer, gain, source}
    this.heard = 0;
    this.playing = false;
    this.loops = true;
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
      gain.connect(this.volume);
      return { buffer, gain, source: null };
    });
    this.offset = 0;
    this.#changed();
  }

  /** Fetches and decodes; `onProgress(done, all)` after each. Throws an Error that says what could not be fetched. */
  async load(urls, onProgress = () => {}) {
    let done = 0;
    const buffers = await Promise.all(
      urls.map(async (url, index) => {
        const answer = await fetch(url);
        if (!answer.ok) throw new Error(`sound ${index + 1} of ${urls.length} could not be fetched (${answer.status})`);
        const buffer = await this.context.decodeAudioData(await answer.arrayBuffer());
        onProgress(++done, urls.length);
        return buffer;
      }),
    );
    this.setBuffers(buffers);
    return buffers;
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
    return this.loops ? this.start + ((at - this.start) % (this.end - this.start)) : this.end;
  }

  play() {
    if (this.playing || !this.tracks.length) return;
    this.context.resume().catch(() => {}); // whether it does is seen from its state
    if (this.offset >= this.end || this.offset < this.start) this.offset = this.start;
    this.startedAt = this.context.currentTime;
    for (const track of this.tracks) {
      const source = this.context.createBufferSource();
      source.buffer = track.buffer;
      source.loop = this.loops;
      source.loopStart = this.start;
      source.loopEnd = this.end;
      source.connect(track.gain);
      if (this.loops) source.start(this.startedAt, this.offset);
      else source.start(this.startedAt, this.offset, this.end - this.offset);
      track.source = source;
    }
    const source = this.tracks[0].source;
    source.onended = () => this.tracks[0]?.source === source && this.#ended();
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
    this.#fade(this.tracks[index].gain.gain, RISE, 1, now);
    this.heard = index;
    this.#changed();
  }

  /** Play [start, end] again and again; null: all of it. */
  setRegion(region) {
    this.#restarting(() => {
      this.region = region;
      if (this.offset < this.start || this.offset >= this.end) this.offset = this.start;
    });
  }

  setLoops(loops) {
    this.#restarting(() => (this.loops = loops));
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

  #ended() {
    this.#stop();
    this.offset = this.start;
    this.#changed();
    this.dispatchEvent(new Event("end"));
  }

  #fade(gain, curve, target, now) {
    gain.cancelScheduledValues(now);
    if (this.playing) gain.setValueCurveAtTime(curve, now, FADE_S);
    else gain.value = target;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
