// Single keys that switch sounds, and the box that turns them off: for those whose voice or hands press keys unasked.

const KEPT_AS = "q2d2 keys";
const box = document.querySelector("#keys");

try {
  box.checked = localStorage.getItem(KEPT_AS) !== "off";
} catch {
  // no storage: they are on, on every page
}
box.addEventListener("change", () => {
  try {
    localStorage.setItem(KEPT_AS, box.checked ? "on" : "off");
  } catch {
    // no storage
  }
});

export const keysSwitch = () => box.checked;
