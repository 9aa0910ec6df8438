// Choosing a file, and what happens then.
import { fill } from "./view/dom.js";

const status = document.getElementById("status");

/** A file was chosen. */
export async function look(file) {
  fill(status, `${file.name}: ${file.size} bytes`);
}

document.getElementById("file").addEventListener("change", event => {
  if (event.target.files.length) look(event.target.files[0]);
});
