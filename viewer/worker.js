// The script of the worker that a build runs in: it reads the container where it lies, only what the build asks for, and
// is ended whenever nobody wants to hear any more. It needs no memory that is shared with the page.
import { ProgramEnd, wasiImports } from "./wasi.js";

const WINDOW = 1 << 20; // bytes: so much is read at once where a build reads little by little
const READ_MOST = 1 << 24; // bytes of one read; a file of gigabytes is never asked for in one piece

/** `read(offset, length)` of a `File` or `Blob`, at once. */
function fileReader(file) {
  const reader = new FileReaderSync();
  return (offset, length) => new Uint8Array(reader.readAsArrayBuffer(file.slice(offset, offset + length)));
}

/** `read(offset, length)` of what the server of this page has at `url`, at once (14.9). */
function addressReader(url) {
  return (offset, length) => {
    const request = new XMLHttpRequest();
    request.open("GET", url, false);
    request.responseType = "arraybuffer";
    request.setRequestHeader("Range", `bytes=${offset}-${offset + length - 1}`);
    request.send();
    if (request.status !== 206) throw new Error(`the server answered ${request.status}`);
    return new Uint8Array(request.response);
  };
}

/** `fill(offset, target)`: bytes of the container into `target`, through a window for small reads. */
function windowed(size, read, counts) {
  let start = 0, held = new Uint8Array(0);
  const exact = (offset, length) => {
    counts.reads++;
    counts.bytes += length;
    const data = read(offset, length);
    if (data.length !== length) throw new Error(`the file has changed: ${data.length} of ${length} bytes at ${offset}`);
    return data;
  };
  return (offset, target) => {
    if (target.length >= WINDOW) {
      for (let done = 0; done < target.length; done += READ_MOST)
        target.set(exact(offset + done, Math.min(READ_MOST, target.length - done)), done);
      return;
    }
    if (offset < start || offset + target.length > start + held.length) {
      held = exact(offset, Math.min(WINDOW, size - offset));
      start = offset;
    }
    target.set(held.subarray(offset - start, offset - start + target.length));
  };
}

async function runBuild({ file, size, module, args, env, input }) {
  const counts = { reads: 0, bytes: 0 };
  const began = performance.now();
  let memory, code = 0, problem = "", started = began;
  const read = file.slice ? fileReader(file) : addressReader(file.url);
  const host = {
    size,
    read: windowed(size, read, counts),
    args,
    env,
    input,
    output: (fd, data) => postMessage({ fd, data }),
    memory: () => memory,
  };
  try {
    const { instance } = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: wasiImports(host) });
    started = performance.now();
    memory = instance.exports.memory;
    instance.exports._start();
  } catch (error) {
    if (error instanceof ProgramEnd) code = error.code;
    else {
      code = -1;
      problem = String((error && error.message) || error);
    }
  }
  const seconds = (performance.now() - started) / 1000;
  postMessage({ done: code, problem, compile: (started - began) / 1000, seconds, memory: memory ? memory.buffer.byteLength : 0, ...counts });
}

self.addEventListener("message", event => runBuild(event.data));
