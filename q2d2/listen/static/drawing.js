// The demo's pictures: a waveform, spectrograms, and the way of the tokens over their grid. Numbers in, pixels out.

const TICKS_PX = 16; // below a spectrogram, for seconds
const SIDE_PX = 30; // left of it, for kHz
const PATH_FRAMES = 40; // 0.75 s of `speech`
const SHADES = 6; // --sound-0 to --sound-5
const FONT = "11px system-ui, sans-serif";

const dark = matchMedia("(prefers-color-scheme: dark)");
const colours = new Map(); // as they were looked up
dark.addEventListener("change", () => colours.clear());

/** A canvas with a still picture, and something on it that moves. */
export class Picture {
  #canvas;
  #still = document.createElement("canvas");
  #paintStill;
  #paintMoving;
  #place = 0;

  /** Painters get (context, width, height), in the page's pixels; that of what moves also a place of `moveTo`. */
  constructor(canvas, paintStill, paintMoving) {
    this.#canvas = canvas;
    this.#paintStill = paintStill;
    this.#paintMoving = paintMoving;
    new ResizeObserver(() => this.repaint()).observe(canvas);
    dark.addEventListener("change", () => this.repaint());
  }

  /** All of it: other data, another size, other colours. */
  repaint() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width || !height) return;
    for (const canvas of [this.#canvas, this.#still]) {
      canvas.width = Math.round(width * devicePixelRatio);
      canvas.height = Math.round(height * devicePixelRatio);
    }
    const context = this.#still.getContext("2d");
    context.scale(devicePixelRatio, devicePixelRatio);
    this.#paintStill(context, width, height);
    this.moveTo(this.#place);
  }

  /** @param {number} place in seconds */
  moveTo(place) {
    this.#place = place;
    const context = this.#canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    if (this.#still.width && this.#still.height) context.drawImage(this.#still, 0, 0);
    context.scale(devicePixelRatio, devicePixelRatio);
    this.#paintMoving(context, this.#canvas.clientWidth, this.#canvas.clientHeight, place);
  }
}

/** A colour of the style sheets, as it is at this moment: light or dark. */
function colour(name) {
  if (!colours.has(name)) {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`; // a variable by itself would be read as it is written: both colours
    document.body.append(probe);
    colours.set(name, getComputedStyle(probe).color);
    probe.remove();
  }
  return colours.get(name);
}

/** From lowest to highest sample, column by column; `peak` reaches the edges. */
export function paintWaveform(context, width, height, { low, high }, peak) {
  const y = (sample) => (height / 2) * (1 - (0.96 * sample) / peak);
  const x = (column) => (column * width) / low.length;
  context.fillStyle = colour("--wave");
  high.forEach((top, column) => {
    const from = Math.min(y(top), height / 2 - 0.5);
    const to = Math.max(y(low[column]), height / 2 + 0.5);
    context.fillRect(x(column), from, Math.max(0.7, width / low.length), to - from);
  });
}

export function paintPlayhead(context, x, height) {
  context.fillStyle = colour("--sheet"); // a rim, or it would be lost in the waveform
  context.fillRect(x - 2, 0, 4, height);
  context.fillStyle = colour("--accent");
  context.fillRect(x - 1, 0, 2, height);
}

/** Where a share of the time is in a spectrogram. */
export const spectrogramX = (share, width) => SIDE_PX + share * (width - SIDE_PX);

export function paintSpectrogram(context, width, height, { rows, columns, levels }, durationS, highestHz) {
  const shades = ramp();
  const pixels = new ImageData(columns, rows);
  const bytes = atob(levels);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = 4 * ((rows - 1 - row) * columns + column); // the lowest band is the last line
      pixels.data.set(shades[bytes.charCodeAt(row * columns + column)], at);
    }
  }
  const small = document.createElement("canvas");
  small.width = columns;
  small.height = rows;
  small.getContext("2d").putImageData(pixels, 0, 0);
  const inner = height - TICKS_PX;
  context.drawImage(small, SIDE_PX, 0, width - SIDE_PX, inner);
  context.font = FONT;
  context.fillStyle = colour("--faint");
  context.textAlign = "right";
  for (let kHz = 0, step = tick(highestHz / 1000, 4); kHz <= highestHz / 1000; kHz += step) {
    const y = inner * (1 - (1000 * kHz) / highestHz);
    context.fillText(kHz === 0 ? "kHz" : short(kHz), SIDE_PX - 4, Math.min(inner, Math.max(9, y + 4)));
  }
  context.textAlign = "center";
  for (let seconds = 0, step = tick(durationS, 6); seconds <= durationS; seconds += step) {
    const x = spectrogramX(seconds / durationS, width);
    context.fillText(`${short(seconds)} s`, Math.min(width - 14, Math.max(SIDE_PX + 8, x)), height - 3);
  }
}

/** The cells of a grid, shaded where the clip has been more often. */
export function paintCells(context, width, height, { cells, points, visits, half_width: half }) {
  const place = placing(width, height, half);
  const most = Math.max(...visits, 1);
  context.lineWidth = 1;
  context.strokeStyle = colour("--line");
  const visited = colour("--visited");
  cells.forEach((cell, number) => {
    if (!cell.length) return;
    context.beginPath();
    cell.forEach((corner) => context.lineTo(...place(corner)));
    context.closePath();
    context.globalAlpha = 0.5 * Math.sqrt(visits[number] / most);
    context.fillStyle = visited;
    context.fill();
    context.globalAlpha = 1;
    context.stroke();
  });
  context.fillStyle = colour("--faint");
  for (const point of points) dot(context, place(point), 1.2);
}

/** The way through the cells up to a frame, fainter the longer ago; near the beginning, the way to come. */
export function paintPath(context, width, height, { points, indices, half_width: half }, frame) {
  const place = placing(width, height, half);
  const first = Math.max(0, frame - PATH_FRAMES);
  const way = indices.slice(first, first + PATH_FRAMES + 1).map((index) => place(points[index]));
  const accent = colour("--accent");
  context.strokeStyle = accent;
  context.fillStyle = accent;
  context.lineWidth = 2;
  context.lineCap = "round";
  for (let step = 1; step < way.length; step++) {
    context.globalAlpha = 0.15 + (0.7 * step) / way.length;
    context.beginPath();
    context.moveTo(...way[step - 1]);
    context.lineTo(...way[step]);
    context.stroke();
  }
  context.globalAlpha = 1;
  dot(context, place(points[indices[frame]]), 6);
}

function dot(context, [x, y], radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

/** From a grid's coordinates to those of a canvas, the same scale in both directions. */
function placing(width, height, [x, y]) {
  const scale = Math.min((width - 2) / (2 * x), (height - 2) / (2 * y));
  return ([right, up]) => [width / 2 + scale * right, height / 2 - scale * up];
}

/** 256 colours, [red, green, blue, 255] each, from silence to the loudest. */
function ramp() {
  const stops = Array.from({ length: SHADES }, (_, number) => colour(`--sound-${number}`).match(/[\d.]+/g).map(Number));
  return Array.from({ length: 256 }, (_, level) => {
    const at = (level / 255) * (SHADES - 1);
    const before = Math.min(SHADES - 2, Math.floor(at));
    const mixed = [0, 1, 2].map((part) => {
      const [from, to] = [stops[before][part], stops[before + 1][part]];
      return from + (at - before) * (to - from);
    });
    return [...mixed, 255];
  });
}

/** A round distance, of which at most so many fit. */
function tick(range, most) {
  const power = 10 ** Math.floor(Math.log10(range / most));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => range / step <= most);
}

const short = (value) => String(Number(value.toPrecision(3)));
