// The table of sizes: a column for each sound, a row for each measure, and links to save.

const count = (value) => Math.round(value).toLocaleString("en");

/** The rows of the table; `onSave` handles clicks on its links. */
export function sizesTable(clip, url, onSave) {
  const pcm = { bytes: clip.pcm_bytes, file_bps: (8 * clip.pcm_bytes) / clip.duration_s };
  const sizes = clip.sounds.map((sound) => (sound.bytes ? sound : { ...pcm, name: sound.name }));
  const measures = {
    bytes: ({ bytes }) => count(bytes),
    "bit/s": ({ file_bps: bps }) => count(bps),
    "bit/s as log2(points)": ({ index_bps: bps }) => (bps ? count(bps) : "–"),
    "times smaller than 16-bit PCM": ({ bytes }) => (bytes === pcm.bytes ? "1" : (pcm.bytes / bytes).toFixed(1)),
  };
  const head = row("", "th", ...sizes.map(({ name }) => name));
  head.querySelectorAll("th").forEach((cell) => (cell.scope = "col"));
  const lines = Object.entries(measures).map(([name, measure]) => row(name, "td", ...sizes.map(measure)));
  const saves = clip.sounds.map(({ name, bytes }) => {
    const suffixes = bytes ? [".q2d2", ".wav"] : [".wav"];
    const links = suffixes.map((suffix) => {
      const link = document.createElement("a");
      link.href = `${url}/${encodeURIComponent(name)}${suffix}`;
      link.textContent = suffix;
      link.setAttribute("aria-label", `Save ${name}${suffix}`);
      link.addEventListener("click", onSave);
      return link;
    });
    return links.flatMap((link, number) => (number ? [document.createElement("br"), link] : [link]));
  });
  return [head, ...lines, row("save", "td", ...saves)];
}

function row(name, kind, ...contents) {
  const line = document.createElement("tr");
  const first = document.createElement(name ? "th" : "td");
  first.textContent = name;
  if (name) first.scope = "row";
  line.append(first);
  for (const content of contents) {
    const cell = document.createElement(kind);
    cell.append(...[content].flat());
    line.append(cell);
  }
  return line;
}
