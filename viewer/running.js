// Starting a build in a worker, and ending it.
import WORKER from "./worker.js?text";
import { readBuild } from "./builds.js";
import { CONTAINER_PATH } from "./wasi.js";

const ANSWER_MOST = 1 << 28; // bytes of all that a build says
const COMPLAINT_MOST = 2000;

/**
 * Run `build` on the container `blob` with `words` and the bytes `input`. `weights` is the member that it opens, `heard` is
 * called with each piece of standard output (bytes). What comes back has `done`, a promise of `{code, problem, complaint,
 * seconds, compile, memory, reads, bytes}`, and `stop()`, which ends the worker and with it everything of the build.
 */
export function startBuild(blob, build, words, input, weights, heard) {
  let worker, finish, ended = false;
  const done = new Promise(resolve => (finish = resolve));
  const end = result => {
    if (ended) return;
    ended = true;
    if (worker) worker.terminate();
    finish({ code: -1, problem: "", complaint: "", seconds: 0, compile: 0, memory: 0, reads: 0, bytes: 0, stopped: false, ...result });
  };
  begin().catch(error => end({ problem: String(error.message || error) }));

  async function begin() {
    const module = await readBuild(blob, build);
    if (ended) return;
    const address = URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" }));
    worker = new Worker(address);
    URL.revokeObjectURL(address);
    let said = 0, complaint = "";
    const decoder = new TextDecoder();
    worker.addEventListener("error", event => end({ problem: event.message || "the worker could not be started", complaint }));
    worker.addEventListener("message", ({ data }) => {
      if (ended) return;
      if ("done" in data) end({ ...data, code: data.done, complaint });
      else if (data.fd === 2) complaint = (complaint + decoder.decode(data.data, { stream: true })).slice(-COMPLAINT_MOST);
      else {
        said += data.data.length;
        if (said > ANSWER_MOST) end({ problem: `the build said more than ${ANSWER_MOST} bytes`, complaint });
        else heard(data.data);
      }
    });
    const env = [`LFF_CONTAINER=${CONTAINER_PATH}`, `LFF_WEIGHTS_OFFSET=${weights.offset}`, `LFF_WEIGHTS_SIZE=${weights.size}`];
    const file = blob.address ? { url: blob.address } : blob;
    const message = { file, size: blob.size, module, args: ["runtime", ...words], env, input };
    worker.postMessage(message, [module]);
  }
  return { done, stop: () => end({ stopped: true }) };
}
