// Runs a case in Node: its name is an argument, what it is given comes as JSON.

import { text } from "node:stream/consumers";
import { outcome } from "./cases.js";

const found = await outcome(process.argv[2], JSON.parse(await text(process.stdin)));
console.log(JSON.stringify(found));
