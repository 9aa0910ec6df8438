// node-llama-cpp, asked by bench_rivals.py: one line "pp" or "tg" in, one line {"speed": tokens a second} out.
import readline from "node:readline";
import {getLlama} from "node-llama-cpp";

const [path, threads, prompt, answer] = process.argv.slice(2);
const llama = await getLlama({gpu: false, build: "never", maxThreads: Number(threads), logLevel: "error"});
const model = await llama.loadModel({modelPath: path});
const context = await model.createContext({contextSize: 1024, batchSize: 512, threads: Number(threads)});
const sequence = context.getSequence();

const tokens = (count) => Array.from({length: count}, (_, index) => (index * 7919) % 20000 + 100);

async function measured(kind) {
    await sequence.clearHistory();
    let begin = process.hrtime.bigint(), count = Number(prompt);
    if (kind === "pp") {
        await sequence.evaluateWithoutGeneratingNewTokens(tokens(count));
    } else {
        count = 0;
        for await (const _ of sequence.evaluate(tokens(1), {temperature: 0, yieldEogToken: true})) {
            if (count === 0)
                begin = process.hrtime.bigint();  // the prompt is not part of it
            if (count++ === Number(answer))
                break;
        }
        count -= 1;
    }
    return count / (Number(process.hrtime.bigint() - begin) / 1e9);
}

for await (const kind of readline.createInterface({input: process.stdin}))
    console.log(JSON.stringify({speed: await measured(kind)}));
process.exit(0);
