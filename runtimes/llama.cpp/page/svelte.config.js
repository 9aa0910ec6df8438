// Upstream's configuration with a version of our own: without one, SvelteKit writes the time of the build into the page.
import config from './svelte.config.upstream.js';

config.kit.version = { name: process.env.LFF_PAGE_VERSION };
export default config;
