// compress.js FROM TO: every file of FROM, gzip-compressed under its own name into TO. The pinned Node.js brings its own
// zlib, so that the bytes do not depend on the machine's; Node.js writes no time and no name into the header.
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, gzipSync } from 'node:zlib';

function compress(from, to) {
	mkdirSync(to, { recursive: true });
	for (const name of readdirSync(from)) {
		if (statSync(join(from, name)).isDirectory()) compress(join(from, name), join(to, name));
		else writeFileSync(join(to, name), gzipSync(readFileSync(join(from, name)), { level: constants.Z_BEST_COMPRESSION }));
	}
}

compress(process.argv[2], process.argv[3]);
