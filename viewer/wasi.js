// A host for `wasi_snapshot_preview1`, as far as a build of 14.1 imports it: one file, which can be read and not written,
// standard streams, a clock, random numbers. Nothing else of this machine is there for the program.

const WASI_OK = 0, WASI_BADF = 8, WASI_INVAL = 28, WASI_NOENT = 44, WASI_NOTSUP = 58, WASI_ROFS = 69, WASI_SPIPE = 70;
const FOLDER_FD = 3, FIRST_FD = 4;
const KIND_DEVICE = 2, KIND_FOLDER = 3, KIND_FILE = 4;
const WANTS_TO_WRITE = 0x1d; // of the flags of path_open: create, exclusive, truncate; 2 asks for a folder
const FOLDER_NAME = "/container", FILE_NAME = "file";

/** Where the program sees its container. */
export const CONTAINER_PATH = `${FOLDER_NAME}/${FILE_NAME}`;

/** The program ended, with this code. */
export class ProgramEnd {
  constructor(code) {
    this.code = code;
  }
}

/**
 * The imports of a program. `host` has `size` and `read(offset, length)` of the container, `args`, `env` (texts) and
 * `input` (bytes of standard input); `output(fd, bytes)` takes what it says; `memory()` gives its memory.
 */
export function wasiImports(host) {
  const encoder = new TextEncoder(), decoder = new TextDecoder();
  const files = new Map(); // descriptor -> position
  let next = FIRST_FD, said = 0;
  const bytes = (at, length) => new Uint8Array(host.memory().buffer, at >>> 0, length >>> 0);
  const view = () => new DataView(host.memory().buffer);
  const put32 = (at, value) => view().setUint32(at >>> 0, value, true);
  const put64 = (at, value) => view().setBigUint64(at >>> 0, BigInt(value), true);
  const vectors = (at, count) =>
    Array.from({ length: count }, (_, index) => [0, 4].map(part => view().getUint32((at >>> 0) + 8 * index + part, true)));

  function texts(list) {
    const data = list.map(text => encoder.encode(`${text.replace(/\0/g, "")}\0`));
    return [
      (pointers, at) => {
        for (const each of data) {
          put32(pointers, at);
          bytes(at, each.length).set(each);
          pointers += 4;
          at += each.length;
        }
        return WASI_OK;
      },
      (count, size) => {
        put32(count, data.length);
        put32(size, data.reduce((sum, each) => sum + each.length, 0));
        return WASI_OK;
      },
    ];
  }

  /** Fill the vectors from the container, from `position` on; how many bytes that were. */
  function pour(at, count, position) {
    let total = 0;
    for (const [place, wanted] of vectors(at, count)) {
      const length = Math.max(0, Math.min(wanted, host.size - position - total));
      if (length) host.read(position + total, bytes(place, length));
      total += length;
      if (length < wanted) break;
    }
    return total;
  }

  function take(at, count) {
    let total = 0;
    for (const [place, wanted] of vectors(at, count)) {
      const part = host.input.subarray(said, said + wanted);
      bytes(place, part.length).set(part);
      said += part.length;
      total += part.length;
    }
    return total;
  }

  function describe(at, kind) {
    bytes(at, 64).fill(0);
    view().setUint8((at >>> 0) + 16, kind);
    put64(at + 24, 1);
    put64(at + 32, kind === KIND_FILE ? host.size : 0);
    return WASI_OK;
  }

  const named = (at, length) => decoder.decode(bytes(at, length).slice()) === FILE_NAME;
  const [args_get, args_sizes_get] = texts(host.args);
  const [environ_get, environ_sizes_get] = texts(host.env);
  return {
    args_get,
    args_sizes_get,
    environ_get,
    environ_sizes_get,
    clock_time_get: (_id, _precision, at) => (put64(at, Math.round(performance.now() * 1e6)), WASI_OK),
    random_get(at, length) {
      for (let done = 0; done < length; done += 65536)
        crypto.getRandomValues(bytes(at + done, Math.min(65536, length - done)));
      return WASI_OK;
    },
    proc_exit(code) {
      throw new ProgramEnd(code);
    },
    fd_prestat_get(fd, at) {
      if (fd !== FOLDER_FD) return WASI_BADF;
      put32(at, 0);
      put32(at + 4, FOLDER_NAME.length);
      return WASI_OK;
    },
    fd_prestat_dir_name(fd, at, length) {
      if (fd !== FOLDER_FD) return WASI_BADF;
      bytes(at, length).set(encoder.encode(FOLDER_NAME).subarray(0, length));
      return WASI_OK;
    },
    fd_fdstat_get(fd, at) {
      if (fd > FOLDER_FD && !files.has(fd)) return WASI_BADF;
      bytes(at, 24).fill(0);
      view().setUint8(at >>> 0, fd === FOLDER_FD ? KIND_FOLDER : fd < FOLDER_FD ? KIND_DEVICE : KIND_FILE);
      put64(at + 8, 0xffffffffffffffffn);
      put64(at + 16, 0xffffffffffffffffn);
      return WASI_OK;
    },
    fd_fdstat_set_flags: () => WASI_OK,
    fd_filestat_get(fd, at) {
      if (fd > FOLDER_FD && !files.has(fd)) return WASI_BADF;
      return describe(at, fd === FOLDER_FD ? KIND_FOLDER : fd < FOLDER_FD ? KIND_DEVICE : KIND_FILE);
    },
    fd_readdir: () => WASI_NOTSUP,
    fd_close: fd => (files.delete(fd) ? WASI_OK : WASI_BADF),
    path_filestat_get: (fd, _flags, at, length, out) =>
      fd === FOLDER_FD && named(at, length) ? describe(out, KIND_FILE) : WASI_NOENT,
    path_open(fd, _follow, at, length, how, _rights, _inheriting, _flags, out) {
      if (fd !== FOLDER_FD || !named(at, length)) return WASI_NOENT;
      if (how & WANTS_TO_WRITE) return WASI_ROFS;
      files.set(next, 0);
      put32(out, next++);
      return WASI_OK;
    },
    fd_seek(fd, offset, whence, out) {
      if (!files.has(fd)) return fd < FOLDER_FD ? WASI_SPIPE : WASI_BADF;
      const from = [0, files.get(fd), host.size][whence];
      const position = from + Number(offset);
      if (!(position >= 0)) return WASI_INVAL;
      files.set(fd, position);
      put64(out, position);
      return WASI_OK;
    },
    fd_read(fd, at, count, out) {
      if (fd !== 0 && !files.has(fd)) return WASI_BADF;
      const total = fd === 0 ? take(at, count) : pour(at, count, files.get(fd));
      if (fd !== 0) files.set(fd, files.get(fd) + total);
      put32(out, total);
      return WASI_OK;
    },
    fd_pread(fd, at, count, offset, out) {
      if (!files.has(fd)) return WASI_BADF;
      put32(out, pour(at, count, Number(offset)));
      return WASI_OK;
    },
    fd_write(fd, at, count, out) {
      if (fd !== 1 && fd !== 2) return WASI_BADF;
      let total = 0;
      for (const [place, length] of vectors(at, count)) {
        if (length) host.output(fd, bytes(place, length).slice());
        total += length;
      }
      put32(out, total);
      return WASI_OK;
    },
  };
}
