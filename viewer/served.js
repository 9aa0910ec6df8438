// The copy of this page that `llamafile-format view` serves (14.9): it reads its file from where it came from, and from nowhere else.

/** The served file, read like a `File` by `slice(start, end).arrayBuffer()`; undefined where a file is chosen instead. */
export async function servedFile() {
  const mark = typeof document === "object" && document.querySelector('meta[name="llamafile-served"]');
  if (!mark) return undefined;
  const address = new URL(mark.content, location.href).href;
  const answer = await fetch(address, { method: "HEAD" });
  const size = Number(answer.headers.get("Content-Length"));
  if (!answer.ok || !Number.isSafeInteger(size)) throw new Error(`the server answered ${answer.status}`);
  return { name: mark.dataset.name, size, address, slice: (start = 0, end = size) => servedSlice(address, start, Math.min(end, size)) };
}

function servedSlice(address, start, end) {
  const size = Math.max(0, end - start);
  return {
    size,
    slice: (from = 0, to = size) => servedSlice(address, start + from, Math.min(start + to, end)),
    async arrayBuffer() {
      if (!size) return new ArrayBuffer(0);
      const answer = await fetch(address, { headers: { Range: `bytes=${start}-${end - 1}` } });
      if (answer.status !== 206) throw new Error(`the server answered ${answer.status}`);
      const data = await answer.arrayBuffer();
      if (data.byteLength !== size) throw new Error(`the file has changed: ${data.byteLength} of ${size} bytes at ${start}`);
      return data;
    },
  };
}
