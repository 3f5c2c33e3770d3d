// The in-batch softmax with log q subtracted, in Node.js without a package. Checked by
//
//     minitower check --command 'node in_batch_softmax.js'

const readline = require("node:readline");

const dot = (a, b) => a.reduce((sum, x, c) => sum + x * b[c], 0);

/** The mean over i of log sum_j exp(z_ij) - z_ii, with z_ij = users_i . items_j / T - log_q_j. */
function inBatchSoftmax({ users, items, log_q, temperature }) {
  const n = users.length;
  const d_users = users.map((row) => row.map(() => 0));
  const d_items = items.map((row) => row.map(() => 0));
  let loss = 0;
  users.forEach((user, i) => {
    const logits = items.map((item, j) => dot(user, item) / temperature - log_q[j]);
    const top = Math.max(...logits);
    const total = logits.reduce((sum, z) => sum + Math.exp(z - top), 0);
    loss += (top + Math.log(total) - logits[i]) / n;
    items.forEach((item, j) => {
      const own = i === j ? 1 : 0;
      const d_score = (Math.exp(logits[j] - top) / total - own) / (n * temperature);
      item.forEach((x, c) => {
        d_users[i][c] += d_score * x;
        d_items[j][c] += d_score * user[c];
      });
    });
  });
  return { loss, d_users, d_items };
}

/** A number that is not finite is a string, as JSON has no name for it. */
const finite = (key, x) => (typeof x !== "number" || Number.isFinite(x) ? x : String(x));

const say = (message) => console.log(JSON.stringify(message, finite));

let greeted = false;
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  if (!greeted) {
    greeted = true;
    say({ protocol: 1, formula: "in_batch_softmax" });
    return;
  }
  const { id, inputs } = JSON.parse(line);
  say({ id, outputs: inBatchSoftmax(inputs) });
});
